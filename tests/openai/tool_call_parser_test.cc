#include "coordinator/core/tool_call_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

namespace phalanx {
namespace {

using Events = std::vector<ToolCallEvent>;

ToolCallEvent Content(std::string text) {
  ToolCallEvent event;
  event.text = std::move(text);
  return event;
}

ToolCallEvent Call(std::string name, std::string arguments) {
  ToolCallEvent event;
  event.kind = ToolCallEvent::Kind::kCall;
  event.name = std::move(name);
  event.arguments = std::move(arguments);
  return event;
}

// Neighbouring contents joined, so that the cut of the text does not show.
Events Joined(const Events& events) {
  Events joined;
  for (const ToolCallEvent& event : events) {
    const bool joins = event.kind == ToolCallEvent::Kind::kContent && !joined.empty() &&
                       joined.back().kind == ToolCallEvent::Kind::kContent;
    if (joins) {
      joined.back().text += event.text;
    } else {
      joined.push_back(event);
    }
  }
  return joined;
}

Events ParseWhole(std::string_view text) {
  ToolCallParser parser{Limits{}};
  Events events;
  parser.Append(text, &events);
  parser.Finish(&events);
  return Joined(events);
}

struct Case {
  std::string name;
  std::string text;
  Events events;
};

std::vector<Case> Cases() {
  const std::string weather = R"({"name": "get_weather", "arguments": {"city": "Oslo"}})";
  const ToolCallEvent oslo = Call("get_weather", R"({"city": "Oslo"})");
  const auto tagged = [](const std::string& body) {
    return "<tool_call>\n" + body + "\n</tool_call>";
  };
  std::string deep = "1";
  for (int i = 0; i < 40; ++i) deep = "[" + deep + "]";
  const std::string too_deep = tagged(R"({"name": "f", "arguments": {"a": )" + deep + "}}");
  return {
      {"Text", "no call here", {Content("no call here")}},
      {"Empty", "", {}},
      {"Call", tagged(weather), {oslo}},
      {"TextBefore", "I look.\n" + tagged(weather), {Content("I look.\n"), oslo}},
      {"TwoCalls", tagged(weather) + "\n" + tagged(weather) + "\n", {oslo, oslo}},
      {"TextAfter", tagged(weather) + "\n\nDone.", {oslo, Content("\n\nDone.")}},
      {"NoLineFeeds", "<tool_call>" + weather + "</tool_call>", {oslo}},
      {"NoEndTag", "<tool_call>\n" + weather, {oslo}},
      {"CutShort",
       "<tool_call>\n{\"name\": \"f\", \"argu",
       {Content("<tool_call>\n{\"name\": \"f\", \"argu")}},
      {"PartOfATag", "a <tool", {Content("a <tool")}},
      {"AlmostATag", "a <tool_cat> b", {Content("a <tool_cat> b")}},
      {"TagTwice", "<<tool_call>" + weather + "</tool_call>", {Content("<"), oslo}},
      {"NotJson", tagged("{oops}"), {Content(tagged("{oops}"))}},
      {"NotJsonThenCall",
       tagged("{oops}") + "\n" + tagged(weather),
       {Content(tagged("{oops}") + "\n"), oslo}},
      {"OpenQuoteThenCall",
       tagged(R"({"name": "f", "arguments": {"a": "b}})") + "\n" + tagged(weather),
       {Content(tagged(R"({"name": "f", "arguments": {"a": "b}})") + "\n"), oslo}},
      {"NoName", tagged(R"({"arguments": {}})"), {Content(tagged(R"({"arguments": {}})"))}},
      {"EmptyName",
       tagged(R"({"name": "", "arguments": {}})"),
       {Content(tagged(R"({"name": "", "arguments": {}})"))}},
      {"NoArguments", tagged(R"({"name": "f"})"), {Content(tagged(R"({"name": "f"})"))}},
      {"ArgumentsNoObject",
       tagged(R"({"name": "f", "arguments": "x"})"),
       {Content(tagged(R"({"name": "f", "arguments": "x"})"))}},
      {"TwiceTheSameKey",
       tagged(R"({"name": "f", "name": "g", "arguments": {}})"),
       {Content(tagged(R"({"name": "f", "name": "g", "arguments": {}})"))}},
      {"TooDeep", too_deep, {Content(too_deep)}},
      {"EndTagInString",
       tagged(R"({"name": "f", "arguments": {"a": "</tool_call>"}})"),
       {Call("f", R"({"a": "</tool_call>"})")}},
      {"EscapedQuote",
       tagged(R"({"name": "f", "arguments": {"a": "\"}\\"}})"),
       {Call("f", R"({"a": "\"}\\"})")}},
      {"ExactText",
       tagged(R"({"arguments" :  {"b" : [1.50, {"c":null}],"a":1e3 } , "name":"\u0066"})"),
       {Call("f", R"({"b" : [1.50, {"c":null}],"a":1e3 })")}},
      {"OtherKeys",
       tagged(R"({"id": 7, "name": "f", "x": [], "arguments": {}})"),
       {Call("f", "{}")}},
      {"Unicode",
       "Grüße 🙂 " + tagged(R"({"name": "f", "arguments": {"ß": "日本"}})"),
       {Content("Grüße 🙂 "), Call("f", R"({"ß": "日本"})")}},
      {"ListNotObject", tagged("[1]"), {Content(tagged("[1]"))}},
      {"Nested",
       "<tool_call><tool_call>" + weather + "</tool_call>",
       {Content("<tool_call><tool_call>" + weather + "</tool_call>")}},
  };
}

class ToolCallParserTest : public ::testing::TestWithParam<Case> {};

TEST_P(ToolCallParserTest, WholeText) { EXPECT_EQ(ParseWhole(GetParam().text), GetParam().events); }

TEST_P(ToolCallParserTest, AnyCutGivesTheSame) {
  const std::string& text = GetParam().text;
  std::mt19937 random(7);
  for (int round = 0; round < 300; ++round) {
    ToolCallParser parser{Limits{}};
    Events events;
    const size_t longest = 1 + random() % 20;
    for (size_t at = 0; at < text.size();) {
      const size_t size = round == 0 ? 1 : 1 + random() % longest;
      parser.Append(std::string_view(text).substr(at, size), &events);
      at += size;
    }
    parser.Finish(&events);
    for (const ToolCallEvent& event : events) {
      ASSERT_TRUE(event.kind == ToolCallEvent::Kind::kCall || !event.text.empty());
    }
    ASSERT_EQ(Joined(events), GetParam().events) << "round " << round;
  }
}

INSTANTIATE_TEST_SUITE_P(All, ToolCallParserTest, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

// Texts put together from what matters to the parser.
TEST(ToolCallParserTest, RandomTextsParseTheSameInAnyCut) {
  const std::vector<std::string> pieces = {
      "<tool_call>",
      "</tool_call>",
      "<tool_",
      "call>",
      "</",
      "\n",
      " ",
      "{",
      "}",
      "\"",
      "\\",
      "<tool_call>{\"name\": \"h\", \"arguments\": {}}</tool_call>",
      R"({"name": "f", "arguments": {}})",
      R"({"name": "g", "arguments": {"a": "<tool_call>"}})",
      "text",
      "ß",
      ",",
      ":",
      "[",
      "]",
      "\"name\"",
      "<",
      ">"};
  std::mt19937 random(11);
  int num_calls = 0;
  for (int round = 0; round < 20000; ++round) {
    std::string text;
    for (size_t i = random() % 12; i > 0; --i) text += pieces[random() % pieces.size()];
    const Events whole = ParseWhole(text);
    ToolCallParser parser{Limits{}};
    Events events;
    for (size_t at = 0; at < text.size();) {
      const size_t size = 1 + random() % 6;
      parser.Append(std::string_view(text).substr(at, size), &events);
      at += size;
    }
    parser.Finish(&events);
    ASSERT_EQ(Joined(events), whole) << text;
    num_calls += parser.num_calls();
  }
  EXPECT_GT(num_calls, 1000) << "too few texts have calls";
}

}  // namespace
}  // namespace phalanx
