#include "coordinator/core/tool_call_parser.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace phalanx {
namespace {

using Events = std::vector<ToolCallEvent>;
using Kind = ToolCallEvent::Kind;

Events Content(std::string text) { return {{.kind = Kind::kContent, .text = std::move(text)}}; }

Events Arguments(std::string text) { return {{.kind = Kind::kArguments, .text = std::move(text)}}; }

Events operator+(Events all, const Events& more) {
  all.insert(all.end(), more.begin(), more.end());
  return all;
}

Events Call(std::string name, std::string arguments) {
  return Events{{.kind = Kind::kName, .text = std::move(name)}} + Arguments(std::move(arguments));
}

// Neighbouring pieces joined, so that the cut of the text does not show.
Events Joined(const Events& events) {
  Events joined;
  for (const ToolCallEvent& event : events) {
    const bool joins =
        event.kind != Kind::kName && !joined.empty() && joined.back().kind == event.kind;
    if (joins) {
      joined.back().text += event.text;
    } else {
      joined.push_back(event);
    }
  }
  return joined;
}

enum class Format { kFree, kTrusted };

ToolCallParser NewParser(Format format) {
  ToolCallParser parser{Limits{}};
  if (format == Format::kTrusted) parser.TrustFormat();
  return parser;
}

Events ParseWhole(std::string_view text, Format format = Format::kFree) {
  ToolCallParser parser = NewParser(format);
  Events events;
  parser.Append(text, &events);
  parser.Finish(&events);
  return Joined(events);
}

// In pieces of up to `longest` bytes.
Events ParseCut(std::string_view text, Format format, size_t longest, std::mt19937& random) {
  ToolCallParser parser = NewParser(format);
  Events events;
  for (size_t at = 0; at < text.size();) {
    const size_t size = 1 + random() % longest;
    parser.Append(text.substr(at, size), &events);
    at += size;
  }
  parser.Finish(&events);
  for (const ToolCallEvent& event : events) EXPECT_FALSE(event.text.empty());
  return Joined(events);
}

struct Case {
  std::string name;
  std::string text;
  Events events;
};

std::vector<Case> Cases() {
  const std::string weather = R"({"name": "get_weather", "arguments": {"city": "Oslo"}})";
  const Events oslo = Call("get_weather", R"({"city": "Oslo"})");
  const auto tagged = [](const std::string& body) {
    return "<tool_call>\n" + body + "\n</tool_call>";
  };
  std::string deep = "1";
  for (int i = 0; i < 40; ++i) deep = "[" + deep + "]";
  const std::string too_deep = tagged(R"({"name": "f", "arguments": {"a": )" + deep + "}}");
  return {
      {"Text", "no call here", Content("no call here")},
      {"Empty", "", {}},
      {"Call", tagged(weather), oslo},
      {"TextBefore", "I look.\n" + tagged(weather), Content("I look.\n") + oslo},
      {"TwoCalls", tagged(weather) + "\n" + tagged(weather) + "\n", oslo + oslo},
      {"TextAfter", tagged(weather) + "\n\nDone.", oslo + Content("\n\nDone.")},
      {"NoLineFeeds", "<tool_call>" + weather + "</tool_call>", oslo},
      {"NoEndTag", "<tool_call>\n" + weather, oslo},
      {"CutShort", "<tool_call>\n{\"name\": \"f\", \"argu",
       Content("<tool_call>\n{\"name\": \"f\", \"argu")},
      {"PartOfATag", "a <tool", Content("a <tool")},
      {"AlmostATag", "a <tool_cat> b", Content("a <tool_cat> b")},
      {"TagTwice", "<<tool_call>" + weather + "</tool_call>", Content("<") + oslo},
      {"NotJson", tagged("{oops}"), Content(tagged("{oops}"))},
      {"NotJsonThenCall", tagged("{oops}") + "\n" + tagged(weather),
       Content(tagged("{oops}") + "\n") + oslo},
      {"OpenQuoteThenCall",
       tagged(R"({"name": "f", "arguments": {"a": "b}})") + "\n" + tagged(weather),
       Content(tagged(R"({"name": "f", "arguments": {"a": "b}})") + "\n") + oslo},
      {"NoName", tagged(R"({"arguments": {}})"), Content(tagged(R"({"arguments": {}})"))},
      {"EmptyName", tagged(R"({"name": "", "arguments": {}})"),
       Content(tagged(R"({"name": "", "arguments": {}})"))},
      {"NoArguments", tagged(R"({"name": "f"})"), Content(tagged(R"({"name": "f"})"))},
      {"ArgumentsNoObject", tagged(R"({"name": "f", "arguments": "x"})"),
       Content(tagged(R"({"name": "f", "arguments": "x"})"))},
      {"TwiceTheSameKey", tagged(R"({"name": "f", "name": "g", "arguments": {}})"),
       Content(tagged(R"({"name": "f", "name": "g", "arguments": {}})"))},
      {"TooDeep", too_deep, Content(too_deep)},
      {"EndTagInString", tagged(R"({"name": "f", "arguments": {"a": "</tool_call>"}})"),
       Call("f", R"({"a": "</tool_call>"})")},
      {"EscapedQuote", tagged(R"({"name": "f", "arguments": {"a": "\"}\\"}})"),
       Call("f", R"({"a": "\"}\\"})")},
      {"ExactText",
       tagged(R"({"arguments" :  {"b" : [1.50, {"c":null}],"a":1e3 } , "name":"\u0066"})"),
       Call("f", R"({"b" : [1.50, {"c":null}],"a":1e3 })")},
      {"OtherKeys", tagged(R"({"id": 7, "name": "f", "x": [], "arguments": {}})"), Call("f", "{}")},
      {"Unicode", "Grüße 🙂 " + tagged(R"({"name": "f", "arguments": {"ß": "日本"}})"),
       Content("Grüße 🙂 ") + Call("f", R"({"ß": "日本"})")},
      {"ListNotObject", tagged("[1]"), Content(tagged("[1]"))},
      {"Nested", "<tool_call><tool_call>" + weather + "</tool_call>",
       Content("<tool_call><tool_call>" + weather + "</tool_call>")},
  };
}

class ToolCallParserTest : public ::testing::TestWithParam<Case> {};

TEST_P(ToolCallParserTest, WholeText) { EXPECT_EQ(ParseWhole(GetParam().text), GetParam().events); }

TEST_P(ToolCallParserTest, AnyCutGivesTheSame) {
  std::mt19937 random(7);
  for (const Format format : {Format::kFree, Format::kTrusted}) {
    const Events whole = ParseWhole(GetParam().text, format);
    for (int round = 0; round < 300; ++round) {
      const size_t longest = round == 0 ? 1 : 1 + random() % 20;
      ASSERT_EQ(ParseCut(GetParam().text, format, longest, random), whole) << "round " << round;
    }
  }
}

INSTANTIATE_TEST_SUITE_P(All, ToolCallParserTest, ::testing::ValuesIn(Cases()),
                         [](const auto& info) { return info.param.name; });

// Texts put together from what matters to the parser.
std::string RandomText(std::mt19937& random) {
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
      "<tool_call>\n{\"name\": \"k\", \"arguments\": {\"b\": \"",
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
  std::string text;
  for (size_t i = random() % 12; i > 0; --i) text += pieces[random() % pieces.size()];
  return text;
}

TEST(ToolCallParserTest, RandomTextsParseTheSameInAnyCut) {
  std::mt19937 random(11);
  for (const Format format : {Format::kFree, Format::kTrusted}) {
    int64_t num_calls = 0;
    for (int round = 0; round < 20000; ++round) {
      const std::string text = RandomText(random);
      const Events whole = ParseWhole(text, format);
      ASSERT_EQ(ParseCut(text, format, 6, random), whole) << text;
      num_calls += std::count_if(whole.begin(), whole.end(), [](const ToolCallEvent& event) {
        return event.kind == Kind::kName;
      });
    }
    EXPECT_GT(num_calls, 1000) << "too few texts have calls";
  }
}

TEST(ToolCallParserTest, WhatIsHeldToTheFormatMeansTheSame) {
  const std::string calls =
      "<tool_call>\n{\"name\": \"say \\\"{\\\"\", \"arguments\": {\"a\": \"}\\\"\", \"b\": {}}}\n"
      "</tool_call>\n<tool_call>\n{\"name\": \"g\", \"arguments\": {}}\n</tool_call>";
  EXPECT_EQ(ParseWhole(calls, Format::kTrusted), ParseWhole(calls, Format::kFree));
  EXPECT_EQ(ParseWhole(calls, Format::kTrusted),
            Call("say \"{\"", R"({"a": "}\"", "b": {}})") + Call("g", "{}"));
}

TEST(ToolCallParserTest, ATrustedCallComesAsItIsWritten) {
  const std::string head = "<tool_call>\n{\"name\": \"f\", \"arguments\": ";
  for (const Format format : {Format::kFree, Format::kTrusted}) {
    ToolCallParser parser = NewParser(format);
    Events events;
    const auto after = [&](std::string_view text) {
      events.clear();
      parser.Append(text, &events);
      return events;
    };
    const bool trusted = format == Format::kTrusted;
    EXPECT_EQ(after(head), Events()) << "arguments may be no object";
    EXPECT_EQ(after("{"), trusted ? Call("f", "{") : Events());
    EXPECT_EQ(after("\"a\": \"</tool"), trusted ? Arguments("\"a\": \"</tool") : Events());
    EXPECT_EQ(after("\"}}\n</"), trusted ? Arguments("\"}") : Events());
    EXPECT_EQ(after("tool_call>"), trusted ? Events() : Call("f", R"({"a": "</tool"})"));
    parser.Finish(&events);
    EXPECT_EQ(Joined(events), trusted ? Events() : Call("f", R"({"a": "</tool"})"));
  }
}

TEST(ToolCallParserTest, WhatIsCutShort) {
  const std::string head = "<tool_call>\n{\"name\": \"f\", \"arguments\": ";
  EXPECT_EQ(ParseWhole(head + "{\"a\": 1"), Content(head + "{\"a\": 1"));
  EXPECT_EQ(ParseWhole(head + "{\"a\": 1", Format::kTrusted), Call("f", "{\"a\": 1"));
  EXPECT_EQ(ParseWhole(head + "{\"a\": 1}", Format::kTrusted), Call("f", "{\"a\": 1}"));
  EXPECT_EQ(ParseWhole(head, Format::kTrusted), Content(head));
  ToolCallParser parser = NewParser(Format::kTrusted);
  Events events;
  parser.Append(head + "{\"a\": 1", &events);
  EXPECT_TRUE(parser.is_within_arguments());
  parser.Append("}", &events);
  EXPECT_FALSE(parser.is_within_arguments());
}

// A schema may ask for arguments that are no object: such a call is content in either format.
TEST(ToolCallParserTest, TrustedArgumentsThatAreNoObjectAreContent) {
  for (const std::string arguments : {"7", "\"x\"", "[{}]", "null"}) {
    const std::string text =
        "<tool_call>\n{\"name\": \"f\", \"arguments\": " + arguments + "}\n</tool_call>";
    EXPECT_EQ(ParseWhole(text, Format::kTrusted), Content(text));
  }
}

// A grammar's schema has been judged already; the limits are for what a model makes up.
TEST(ToolCallParserTest, ATrustedCallBeyondTheLimitsIsACall) {
  std::string deep = "{\"a\": 1}";
  for (int i = 0; i < 100; ++i) deep = "{\"a\": " + deep + "}";
  const std::string text =
      "<tool_call>\n{\"name\": \"f\", \"arguments\": " + deep + "}\n</tool_call>";
  EXPECT_EQ(ParseWhole(text, Format::kTrusted), Call("f", deep));
  EXPECT_EQ(ParseWhole(text), Content(text));
}

}  // namespace
}  // namespace phalanx
