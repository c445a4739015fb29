#include "model/safetensors.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include "tests/model/checkpoint_writer.h"
#include "tests/testing/cpu_time.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;
using testing::RawTensors;
using testing::SafetensorsBytes;
using testing::TempDir;
using testing::WriteFile;

constexpr char kGood[] =
    R"({"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"b":{"dtype":"F32","shape":[1],"data_offsets":[12,16]}})";

class SafetensorsTest : public ::testing::Test {
 protected:
  StatusOr<std::unique_ptr<SafetensorsFile>> OpenBytes(const std::string& bytes) {
    const auto path = folder_.path() / "model.safetensors";
    WriteFile(path, bytes);
    return SafetensorsFile::Open(path);
  }

  TempDir folder_;
};

TEST_F(SafetensorsTest, FindsTensors) {
  ASSERT_TRUE(OpenBytes(SafetensorsBytes(kGood, std::string(16, 'x'))).ok());
  const auto checkpoint = Checkpoint::Open(folder_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto a = checkpoint->Find("a", std::vector<int64_t>{2, 3});
  ASSERT_TRUE(a.ok()) << a.status();
  EXPECT_EQ(a->dtype, DType::kBF16);
  EXPECT_EQ(a->begin, 8 + static_cast<int64_t>(sizeof(kGood)) - 1);
}

TEST_F(SafetensorsTest, ShowsExpectedAndFound) {
  const std::string header =
      R"({"a":{"dtype":"BF16","shape":[2,3],"data_offsets":[0,12]},"i":{"dtype":"I32","shape":[1],"data_offsets":[12,16]}})";
  ASSERT_TRUE(OpenBytes(SafetensorsBytes(header, std::string(16, 'x'))).ok());
  const auto checkpoint = Checkpoint::Open(folder_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  const auto message = [&](const char* name, std::vector<int64_t> shape) {
    return checkpoint->Find(name, shape).status().message();
  };
  EXPECT_THAT(message("a", {3, 2}),
              HasSubstr("model.safetensors: tensor \"a\": found BF16 of shape "
                        "[2, 3], expected BF16, F16 or F32 of shape [3, 2]"));
  EXPECT_THAT(message("a", {6}), HasSubstr("found BF16 of shape [2, 3]"));
  EXPECT_THAT(message("i", {1}), HasSubstr("found I32 of shape [1], expected BF16"));
  EXPECT_THAT(message("c", {1}),
              HasSubstr("tensor \"c\" is missing, expected BF16, F16 or F32 of shape [1]"));
}

TEST_F(SafetensorsTest, ManyTensorsCostNoMoreThanTheirHeader) {
  const auto make = [](int num_tensors) {
    std::string header = R"({"t":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    for (int i = 0; i < num_tensors; ++i) {
      header +=
          R"(,"t)" + std::to_string(i) + R"(":{"dtype":"U8","shape":[0],"data_offsets":[0,0]})";
    }
    return SafetensorsBytes(header + "}", "");
  };
  const auto run = [&](const std::string& bytes) { EXPECT_TRUE(OpenBytes(bytes).ok()); };
  EXPECT_LT(testing::GrowthWithFourTimes(5'000, make, run), testing::kLinearGrowth);
}

TEST_F(SafetensorsTest, RefusesBadFiles) {
  const std::string good = SafetensorsBytes(kGood, std::string(16, 'x'));
  const auto with = [](const char* header, size_t data) {
    return SafetensorsBytes(header, std::string(data, 'x'));
  };
  struct Case {
    std::string bytes;
    const char* message;
  };
  for (
      const Case& c : {
          Case{"", "size is 0 bytes"},
          Case{"1234567", "size is 7 bytes"},
          Case{std::string(64, '\xff'), "header length is 18446744073709551615"},
          Case{good.substr(0, 40), "header length is"},
          Case{good.substr(0, good.size() - 1), "the bytes of data in the file (is it cut short?)"},
          Case{good + "y",
               "the tensors end at byte 16 of the data, expected 17, its end; is one missing"},
          Case{with("[]", 0), "not the JSON object"},
          Case{with("{\"a\":", 0), "not the JSON object"},
          Case{
              with(
                  R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]}})",
                  1),
              "tensor \"a\" is there twice"},
          Case{
              with(
                  R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})",
                  3),
              "tensor \"b\": data begins at byte 1, expected 2: it overlaps"},
          Case{
              with(
                  R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1]},"b":{"dtype":"U8","shape":[1],"data_offsets":[2,3]}})",
                  3),
              "tensor \"b\": data begins at byte 2, expected 1: the bytes before it belong to no "
              "tensor; is one missing"},
          Case{with(R"({"a":{"dtype":"U8","shape":[4],"data_offsets":[0,3]}})", 3),
               "tensor \"a\": data_offsets hold 3 bytes, expected 4 for U8 [4]"},
          Case{with(R"({"a":{"dtype":"Q9","shape":[3],"data_offsets":[0,3]}})", 3),
               "tensor \"a\": dtype is \"Q9\""},
          Case{with(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,3]}})", 3),
               "shape is [-1]"},
          Case{with(R"({"a":{"dtype":"U8","shape":"3","data_offsets":[0,3]}})", 3),
               "shape is \"3\""},
          Case{
              with(
                  R"({"a":{"dtype":"U8","shape":[281474976710656,281474976710656],"data_offsets":[0,3]}})",
                  3),
              "at most 2^48 elements"},
          Case{with(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[3,0]}})", 3),
               "data_offsets is [3,0]"},
          Case{with(R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,99]}})", 3),
               "data_offsets is [0,99]"},
          Case{with(R"({"a":7})", 3), "tensor \"a\": is 7, allowed: an object"},
          Case{with(R"({"a":{"dtype":"U8","shape":[3]}})", 3), "allowed: an object of dtype"},
      }) {
    const auto file = OpenBytes(c.bytes);
    ASSERT_FALSE(file.ok()) << c.message;
    EXPECT_THAT(file.status().message(), HasSubstr("model.safetensors: "));
    EXPECT_THAT(file.status().message(), HasSubstr(c.message));
  }
}

TEST_F(SafetensorsTest, RefusesWhatIsNoFile) {
  const auto path = folder_.path() / "model.safetensors";
  EXPECT_THAT(SafetensorsFile::Open(path).status().message(), HasSubstr("no such file"));
  ASSERT_EQ(mkfifo(path.c_str(), 0600), 0);
  EXPECT_THAT(SafetensorsFile::Open(path).status().message(),
              HasSubstr("is a pipe, allowed: a regular file"));
  const auto index = folder_.path() / "model.safetensors.index.json";
  std::filesystem::remove(path);
  std::filesystem::create_directory(path);
  EXPECT_THAT(Checkpoint::Open(folder_.path()).status().message(), HasSubstr("is a folder"));
  std::filesystem::remove(path);
  ASSERT_EQ(mkfifo(index.c_str(), 0600), 0);
  EXPECT_THAT(Checkpoint::Open(folder_.path()).status().message(), HasSubstr("is a pipe"));
}

TEST_F(SafetensorsTest, NoticesAFileThatShrinks) {
  auto file = OpenBytes(SafetensorsBytes(kGood, std::string(16, 'x')));
  ASSERT_TRUE(file.ok());
  std::filesystem::resize_file((*file)->path(), 100);
  std::vector<std::byte> out(200);
  const Status status = (*file)->Read(0, out);
  EXPECT_EQ(status.code(), StatusCode::kDataLoss);
  EXPECT_THAT(status.message(), HasSubstr("ends at byte 100"));
}

TEST_F(SafetensorsTest, ReadsShardsAndRefusesBadIndexes) {
  const RawTensors tensors = {{"a", {"U8", {2}, "xx"}}, {"b", {"F32", {1}, "yyyy"}}};
  testing::WriteSharded(folder_.path(), tensors, 2);
  const auto checkpoint = Checkpoint::Open(folder_.path());
  ASSERT_TRUE(checkpoint.ok()) << checkpoint.status();
  EXPECT_TRUE(checkpoint->Find("b", std::vector<int64_t>{1}).ok());
  struct Case {
    const char* index;
    const char* message;
  };
  for (const Case& c : {
           Case{"{}", "weight_map: is missing"},
           Case{R"({"weight_map": 3})", "weight_map: is 3"},
           Case{R"({"weight_map": {"a": "x", "a": "y"}})", "key \"a\" is there twice"},
           Case{R"({"weight_map": {"a": 3}})", "file of tensor \"a\" is 3"},
           Case{R"({"weight_map": {"a": "../model.safetensors"}})", "is \"../model.safetensors\""},
           Case{R"({"weight_map": {"a": "/etc/passwd"}})", "is \"/etc/passwd\""},
           Case{R"({"weight_map": {"a": ".."}})", "is \"..\""},
           Case{R"({"weight_map": {"a": "model-00009-of-00002.safetensors"}})",
                "model-00009-of-00002.safetensors: no such file"},
           Case{R"({"weight_map": {"b": "model-00001-of-00002.safetensors"}})",
                "tensor \"b\" is not in its file"},
       }) {
    WriteFile(folder_.path() / "model.safetensors.index.json", c.index);
    const auto bad = Checkpoint::Open(folder_.path());
    ASSERT_FALSE(bad.ok()) << c.index;
    EXPECT_THAT(bad.status().message(), HasSubstr("model.safetensors.index.json: ")) << c.index;
    EXPECT_THAT(bad.status().message(), HasSubstr(c.message)) << c.index;
  }
  const TempDir empty;
  EXPECT_EQ(Checkpoint::Open(empty.path()).status().code(), StatusCode::kNotFound);
}

}  // namespace
}  // namespace phalanx
