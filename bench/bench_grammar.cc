// bench_grammar --model DIR [--json]
//
// What structured output costs a sequence: making the compiler for the model's vocabulary,
// compiling a schema of 20 fields, and one step of a matcher (accept a token, fill the mask), over
// documents that fit the schema. Processor time of one thread; beside the mask stands the time to
// write its bytes.
#include <fmt/format.h>
#include <time.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "grammar/grammar.h"
#include "grammar/vocabulary.h"

namespace phalanx {
namespace {

double CpuMicroseconds() {
  timespec now{};
  clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) * 1e-3;
}

double Quantile(std::vector<double> values, double q) {
  std::sort(values.begin(), values.end());
  return values[static_cast<size_t>(q * static_cast<double>(values.size() - 1))];
}

constexpr int kNumFields = 20;

// Strings, numbers, enumerations, lists and objects in turn.
nlohmann::json Schema() {
  nlohmann::json properties;
  std::vector<std::string> required;
  for (int i = 0; i < kNumFields; ++i) {
    const std::string name = fmt::format("field_{:02}", i);
    required.push_back(name);
    switch (i % 5) {
      case 0:
        properties[name] = {{"type", "string"}};
        break;
      case 1:
        properties[name] = {{"type", "integer"}};
        break;
      case 2:
        properties[name] = {{"enum", {"red", "green", "blue"}}};
        break;
      case 3:
        properties[name] = {{"type", "array"}, {"items", {{"type", "number"}}}};
        break;
      default:
        properties[name] = {{"type", "object"},
                            {"properties", {{"street", {{"type", "string"}}}}},
                            {"required", {"street"}},
                            {"additionalProperties", false}};
    }
  }
  return {{"type", "object"},
          {"properties", properties},
          {"required", required},
          {"additionalProperties", false}};
}

nlohmann::json Document() {
  nlohmann::json document;
  for (int i = 0; i < kNumFields; ++i) {
    nlohmann::json& field = document[fmt::format("field_{:02}", i)];
    switch (i % 5) {
      case 0:
        field = "The quick brown fox jumps over the lazy dog";
        break;
      case 1:
        field = 12345;
        break;
      case 2:
        field = "green";
        break;
      case 3:
        field = {1.5, 2, 30.25};
        break;
      default:
        field = {{"street", "Unter den Linden 1"}};
    }
  }
  return document;
}

int Main(int argc, char** argv) {
  std::string model_dir;
  bool as_json = false;
  CLI::App app("Cost of structured output");
  app.add_option("--model", model_dir, "Folder with tokenizer files")->required();
  app.add_flag("--json", as_json, "Print JSON");
  CLI11_PARSE(app, argc, argv);
  const auto tokenizer = Tokenizer::Load(model_dir);
  if (!tokenizer.ok()) {
    fmt::print(stderr, "{}\n", tokenizer.status().ToString());
    return 2;
  }
  const int32_t vocab_size = (*tokenizer)->vocab_size();
  const std::vector<int32_t> stop_ids = {(*tokenizer)->eos_id().value_or(0)};

  double begin = CpuMicroseconds();
  auto compiler =
      CreateGrammarCompiler(MakeGrammarVocabulary(**tokenizer, vocab_size), {.compile_ms = 60'000});
  const double create_ms = (CpuMicroseconds() - begin) / 1000;
  if (!compiler.ok()) {
    fmt::print(stderr, "{}\n", compiler.status().ToString());
    return 1;
  }
  begin = CpuMicroseconds();
  const auto grammar = (*compiler)->Compile(
      {.kind = GrammarSpec::Kind::kJsonSchema, .source = Schema().dump()}, "schema");
  const double compile_ms = (CpuMicroseconds() - begin) / 1000;
  PHALANX_CHECK(grammar.ok());

  std::vector<uint32_t> words(GrammarMaskWords(vocab_size));
  std::vector<double> mask_us;
  for (const int indent : {-1, 2}) {
    auto matcher = (*grammar)->NewMatcher(stop_ids);
    const std::vector<int32_t> ids = *(*tokenizer)->Encode(Document().dump(indent));
    for (const int32_t id : ids) {
      begin = CpuMicroseconds();
      (void)matcher->FillMask(words);
      const bool accepted = matcher->Accept(id);
      mask_us.push_back(CpuMicroseconds() - begin);
      PHALANX_CHECK(accepted);
    }
  }
  std::vector<double> write_us;
  for (int i = 0; i < 1000; ++i) {
    begin = CpuMicroseconds();
    std::memset(words.data(), i & 0xFF, words.size() * sizeof(uint32_t));
    write_us.push_back(CpuMicroseconds() - begin);
  }
  const nlohmann::ordered_json result = {{"vocab_size", vocab_size},
                                         {"fields", kNumFields},
                                         {"create_compiler_ms", create_ms},
                                         {"compile_schema_ms", compile_ms},
                                         {"tokens", mask_us.size()},
                                         {"mask_and_accept_us_median", Quantile(mask_us, 0.5)},
                                         {"mask_and_accept_us_p99", Quantile(mask_us, 0.99)},
                                         {"writing_the_mask_us_median", Quantile(write_us, 0.5)}};
  if (as_json) {
    fmt::print("{}\n", result.dump(2));
  } else {
    for (const auto& [key, value] : result.items()) fmt::print("{:28} {}\n", key, value.dump());
  }
  return 0;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) { return phalanx::Main(argc, argv); }
