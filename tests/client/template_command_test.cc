#include "tests/client/client_fixture.h"

namespace phalanx {
namespace {

using nlohmann::json;
using testing::HasSubstr;
using testing::StartsWith;

constexpr char kTemplate[] =
    "{{ bos_token }}{% for m in messages %}<{{ m.role }}>{{ m.content }}{{ eos_token }}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}";

class TemplateCommandTest : public ClientTest {
 protected:
  const std::string template_ = File("template.jinja", kTemplate);
};

TEST_F(TemplateCommandTest, ALineInALineOut) {
  const Outcome lines = Run("template --jsonl --template " + template_,
                            R"({"messages":[{"role":"user","content":"hé\n"}],"eos_token":"|"})"
                            "\n"
                            R"({"messages":[],"add_generation_prompt":true,"bos_token":"B"})"
                            "\nnot json\n[1]\n");
  EXPECT_EQ(lines.exit_code, 0) << lines.err;
  std::istringstream stream(lines.out);
  std::vector<json> answers;
  for (std::string line; std::getline(stream, line);) answers.push_back(json::parse(line));
  ASSERT_EQ(answers.size(), 4U) << lines.out;
  EXPECT_EQ(answers[0], (json{{"text", "<user>hé\n|"}}));
  EXPECT_EQ(answers[1], (json{{"text", "B<assistant>"}}));
  EXPECT_THAT(answers[2]["error"], StartsWith("line: "));
  EXPECT_THAT(answers[3]["error"], HasSubstr("allowed: a JSON object with messages"));
}

TEST_F(TemplateCommandTest, OneConversationAndTheModelsTokens) {
  const std::string model = std::string(PHALANX_SOURCE_DIR) + "/launch/demo/model";
  const std::string conversation = R"({"messages":[{"role":"user","content":"x"}]})";
  const Outcome text = Run("template --template " + template_ + " --model " + model, conversation);
  EXPECT_EQ(text.exit_code, 0) << text.err;
  EXPECT_EQ(text.out, "<user>x<|im_end|>");
  EXPECT_EQ(Run("template --template " + template_, conversation).out, "<user>x");
}

TEST_F(TemplateCommandTest, SaysWhatIsWrong) {
  const Outcome broken = Run("template --template " + File("broken.jinja", "a\n{% if %}"), "{}");
  EXPECT_EQ(broken.exit_code, 2);
  EXPECT_THAT(broken.err, HasSubstr("line 2"));
  EXPECT_THAT(Run("template --template /no/such").err, HasSubstr("--template"));
  EXPECT_EQ(Run("template").exit_code, 2);
}

}  // namespace
}  // namespace phalanx
