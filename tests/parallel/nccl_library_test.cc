// What is said of a library that is missing, is none, is another or is too old.
#include "parallel/nccl_library.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/testing/environment_variable.h"

namespace phalanx {
namespace {

using ::testing::AllOf;
using testing::EnvironmentVariable;
using ::testing::HasSubstr;
using ::testing::StartsWith;

const std::string kDir = PHALANX_STAND_IN_DIR;
const std::string kStandIn = kDir + "/libnccl_stand_in.so";

std::string ErrorOf(const std::string& path) {
  const auto library = NcclLibrary::Load(path);
  EXPECT_EQ(library.status().code(), StatusCode::kInvalidArgument);
  EXPECT_EQ(library.status().field(), "--nccl-library");
  return library.status().message();
}

TEST(NcclLibraryTest, KnowsItsVersionAndWords) {
  const auto library = std::move(NcclLibrary::Load(kStandIn)).value();
  EXPECT_EQ(library.version(), "2.18.0");
  EXPECT_EQ(library.path(), kStandIn);
  EXPECT_EQ(library.Describe(nccl::kRemoteError),
            "remote process exited or there was a network error: this is the stand-in for NCCL");
}

TEST(NcclLibraryTest, AMissingFileIsNamedWithTheLoadersReason) {
  EXPECT_THAT(ErrorOf(kDir + "/no_such.so"),
              AllOf(StartsWith("--nccl-library: is " + kDir + "/no_such.so ("),
                    HasSubstr("cannot open shared object file"), HasSubstr("NCCL from 2.18 on"),
                    HasSubstr("--communicator shm or mpi")));
}

TEST(NcclLibraryTest, AFileThatIsNoLibraryIsRefused) {
  EXPECT_THAT(ErrorOf(PHALANX_SOURCE_DIR "/README.md"), HasSubstr("README.md ("));
}

TEST(NcclLibraryTest, AMissingFunctionIsNamed) {
  EXPECT_THAT(ErrorOf(kDir + "/libnccl_without_abort.so"),
              AllOf(HasSubstr("libnccl_without_abort.so, which has no ncclCommAbort ("),
                    HasSubstr("allowed: NCCL from 2.18 on, below 3")));
}

TEST(NcclLibraryTest, OtherVersionsAreRefused) {
  struct Case {
    const char* code;
    const char* version;
  };
  // 2.8.4 in the shorter code that was used then.
  for (const Case& c : {Case{"21705", "2.17.5"}, {"30000", "3.0.0"}, {"2804", "0.28.4"}}) {
    const EnvironmentVariable version("NCCL_STAND_IN_VERSION", c.code);
    EXPECT_EQ(ErrorOf(kStandIn), fmt::format("--nccl-library: is {}, NCCL {}, allowed: NCCL from "
                                             "2.18 on, below 3",
                                             kStandIn, c.version));
  }
  const EnvironmentVariable version("NCCL_STAND_IN_VERSION", "29901");
  EXPECT_EQ(NcclLibrary::Load(kStandIn)->version(), "2.99.1");
}

}  // namespace
}  // namespace phalanx
