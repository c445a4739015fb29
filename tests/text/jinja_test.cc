// What the goldens do not show: messages, lines, limits, the clock, and what no template can do.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <random>

#include "tests/text/golden_files.h"
#include "text/jinja/big_int.h"
#include "text/jinja/json_value.h"
#include "text/jinja/template.h"

namespace phalanx::jinja {
namespace {

using phalanx::testing::ReadGoldens;
using ::testing::HasSubstr;

StatusOr<std::string> Render(std::string_view source, const std::string& context = "{}",
                             const RenderOptions& options = {}) {
  PHALANX_ASSIGN_OR_RETURN(const Template parsed, Template::Parse(source));
  PHALANX_ASSIGN_OR_RETURN(const Value variables, ValueFromJson("context", context));
  return parsed.Render(variables.dict(), options);
}

std::string ErrorOf(std::string_view source, const std::string& context = "{}") {
  const auto text = Render(source, context);
  EXPECT_FALSE(text.ok()) << source << " made " << *text;
  return text.ok() ? "" : text.status().message();
}

TEST(JinjaTest, ErrorsNameTheLineAndTheReason) {
  EXPECT_EQ(ErrorOf("a\n{{ b.c }}"), "chat_template: line 2: undefined: 'b' is undefined");
  EXPECT_EQ(ErrorOf("\n\n{{ 1 + 'a' }}"),
            "chat_template: line 3: type error: unsupported operand types for +: 'int' and 'str'");
  EXPECT_EQ(ErrorOf("{{ raise_exception('no ' ~ 1) }}"),
            "chat_template: line 1: raised by the template: no 1");
  EXPECT_THAT(ErrorOf("{% if true %}\n{% for x in y %}"), HasSubstr("line 2: syntax error"));
  EXPECT_THAT(ErrorOf("{% for x in y %}{% endif %}"), HasSubstr("'endif'"));
  EXPECT_THAT(ErrorOf("{{ x|nothing }}"), HasSubstr("no filter named 'nothing'"));
  EXPECT_THAT(ErrorOf("{% include 'x' %}"), HasSubstr("'include' is not supported"));
  EXPECT_THAT(ErrorOf("{% break %}"), HasSubstr("outside a loop"));
  EXPECT_THAT(ErrorOf("{{ 'a }}"), HasSubstr("unexpected char"));
  EXPECT_THAT(ErrorOf("\xFF"), HasSubstr("no UTF-8 at byte 0"));
}

TEST(JinjaTest, UnknownFiltersUnderIfFailOnlyWhereTheyAreReached) {
  EXPECT_EQ(*Render("{% if false %}{{ x|nothing }}{% endif %}ok"), "ok");
  EXPECT_THAT(ErrorOf("{% if true %}{{ x|nothing }}{% endif %}"), HasSubstr("nothing"));
}

TEST(JinjaTest, TheSandboxShowsDataOnly) {
  EXPECT_EQ(*Render("{{ ''.__class__ }}{{ {}.update }}{{ [].append }}{{ x.__dict__ is defined }}",
                    R"({"x": {}})"),
            "False");
  EXPECT_THAT(ErrorOf("{{ [].append(1) }}"), HasSubstr("refused by the sandbox"));
  EXPECT_THAT(ErrorOf("{% set ns = namespace() %}{% set ns._x = 1 %}"), HasSubstr("_x"));
  EXPECT_THAT(ErrorOf("{% set d = {} %}{% set d.x = 1 %}"), HasSubstr("non-namespace"));
}

StatusCode CodeOf(std::string_view source, const RenderOptions& options = {}) {
  return Render(source, "{}", options).status().code();
}

TEST(JinjaTest, EachLimitIsAClearError) {
  const auto exhausted = StatusCode::kResourceExhausted;
  EXPECT_EQ(CodeOf("{% for i in range(100000) %}{% for j in range(100) %}{% endfor %}{% endfor %}"),
            exhausted);
  EXPECT_THAT(
      ErrorOf("{% for i in range(90000) %}{% for j in range(90) %}{% endfor %}{% endfor %}"),
      HasSubstr("1000000 steps"));
  EXPECT_THAT(ErrorOf("{% macro m() %}{{ m() }}{% endmacro %}{{ m() }}"),
              HasSubstr("nested deeper than 64"));
  EXPECT_THAT(ErrorOf("{{ range(100001) }}"), HasSubstr("more than 100000 items"));
  EXPECT_THAT(ErrorOf("{{ 'x' * 100000000 }}"), HasSubstr("repeating"));
  EXPECT_THAT(ErrorOf("{{ '%1000000000d' % 1 }}"), HasSubstr("too large"));
  EXPECT_THAT(ErrorOf("{{ 'x' * 5000000 }}"), HasSubstr("writes more than 4194304 bytes"));
  EXPECT_THAT(ErrorOf("{{ 10 ** 100000 }}"), HasSubstr("digits"));
  EXPECT_THAT(ErrorOf("{% set n = namespace(x=[]) %}{% for i in range(1000) %}"
                      "{% set n.x = [n.x] %}{% endfor %}"),
              HasSubstr("nested deeper than 200"));
  EXPECT_EQ(CodeOf("{{ " + std::string(1000, '(') + "1" + std::string(1000, ')') + " }}"),
            exhausted);
  std::string chain = "{{ 1";
  for (int i = 0; i < 5000; ++i) chain += " + 1";
  EXPECT_THAT(ErrorOf(chain + " }}"), HasSubstr("nested deeper than 300"));
  std::string ifs, endifs;
  for (int i = 0; i < 150; ++i) {
    ifs += "{% if true %}";
    endifs += "{% endif %}";
  }
  EXPECT_THAT(ErrorOf("{% macro m() %}" + ifs + "{{ m() }}" + endifs + "{% endmacro %}{{ m() }}"),
              HasSubstr("nested deeper than 2000"));
  EXPECT_EQ(CodeOf("{{ 'abc' }}", {.limits = {.output_bytes = 2}}), exhausted);
  EXPECT_EQ(CodeOf("{{ 'abc' }}", {.limits = {.output_bytes = 3}}), StatusCode::kOk);
}

TEST(JinjaTest, WhatHoldsItselfIsFreed) {
  // Leaks are the sanitizer's to find.
  EXPECT_TRUE(
      Render("{% set n = namespace() %}{% set n.n = n %}{% macro m() %}{{ n }}{% endmacro %}"
             "{% set n.m = m %}{% for i in [1, 2] if n %}{% set n.l = loop %}"
             "{{ loop.changed(loop) }}{% endfor %}{% call(x) m2() %}{% endcall %}"
             "{% macro m2() %}{% set n.c = caller %}{{ caller(1) }}{% endmacro %}")
          .status()
          .code() == StatusCode::kInvalidArgument);
  EXPECT_THAT(ErrorOf("{% set n = namespace() %}{% set n.n = n %}{{ n }}"),
              HasSubstr("too large to be printed"));
}

TEST(JinjaTest, ShowsTheTimeOfItsClock) {
  RenderOptions options;
  options.clock = [] {
    Now now{};
    now.time.tm_year = 124;
    now.time.tm_mon = 6;
    now.time.tm_mday = 26;
    now.microseconds = 42;
    return now;
  };
  EXPECT_EQ(*Render("{{ strftime_now('%d %b %Y %f%Z') }}", "{}", options), "26 Jul 2024 000042");
  EXPECT_EQ(*Render("{{ strftime_now is defined }}"), "True");
}

TEST(JinjaTest, KeepsIntegersOfAnySize) {
  EXPECT_EQ(*Render("{{ x }} {{ x + 1 }} {{ x // 7 }} {{ -x % 1000 }} {{ x|tojson }} {{ x / 2 }}",
                    R"({"x": 123456789012345678901234567890})"),
            "123456789012345678901234567890 123456789012345678901234567891 "
            "17636684144620811271604938270 110 123456789012345678901234567890 "
            "6.172839450617284e+28");
  EXPECT_EQ(BigInt(INT64_MIN).ToString(), "-9223372036854775808");
  EXPECT_EQ(*(-BigInt(INT64_MIN) - BigInt(1)).ToInt64(), INT64_MAX);
  EXPECT_EQ(BigInt::FromDouble(1e300)->ToDouble(), 1e300);
}

// Broken templates, made from whole ones, end in an error or a text.
TEST(JinjaTest, SurvivesBrokenTemplates) {
  const auto rows = ReadGoldens("jinja_snippets.jsonl");
  const auto context = ValueFromJson(
      "context", phalanx::testing::ReadFile(phalanx::testing::GoldenDir() / "jinja_context.json"));
  const char* seed = std::getenv("PHALANX_FUZZ_SEED");
  const char* count = std::getenv("PHALANX_FUZZ_COUNT");
  std::mt19937_64 rng(seed != nullptr ? std::strtoull(seed, nullptr, 10) : 1);
  const auto below = [&rng](size_t n) { return static_cast<size_t>(rng() % n); };
  const int cases = count != nullptr ? std::atoi(count) : 3000;
  for (int i = 0; i < cases; ++i) {
    std::string source = rows[below(rows.size())]["template"];
    const std::string other = rows[below(rows.size())]["template"];
    for (size_t edits = 1 + below(4); edits > 0 && !source.empty(); --edits) {
      const size_t at = below(source.size());
      switch (below(4)) {
        case 0:
          source.erase(at, 1 + below(5));
          break;
        case 1:
          source[at] = static_cast<char>(below(256));
          break;
        case 2:
          source.insert(at, other, other.empty() ? 0 : below(other.size()), 1 + below(20));
          break;
        default:
          source.insert(at, source.substr(below(source.size()), 1 + below(30)));
      }
    }
    const auto parsed = Template::Parse(source);
    if (parsed.ok()) {
      const auto text = parsed->Render(context->dict(), {.limits = {.steps = 20'000}});
      EXPECT_TRUE(text.ok() || !text.status().message().empty());
    }
  }
}

}  // namespace
}  // namespace phalanx::jinja
