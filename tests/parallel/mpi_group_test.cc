// Runs under mpirun with --communicator=shm|mpi, and alone, where the group is this process.
#include <gtest/gtest.h>
#include <mpi.h>
#include <time.h>

#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string_view>
#include <thread>

#include "parallel/mpi_factory.h"
#include "tests/parallel/collectives_checks.h"

namespace phalanx {
namespace {

using namespace testing_collectives;  // NOLINT(google-build-using-namespace)

struct Arguments {
  CommunicatorKind kind = CommunicatorKind::kAuto;
  std::string_view kind_name = "auto";
};

// Registered at run time, so that no test needs a global communicator.
class GroupTest : public testing::Test {
 public:
  GroupTest(Communicator& communicator, void (*body)(Communicator&))
      : communicator_(communicator), body_(body) {}
  void TestBody() override {
    body_(communicator_);
    ASSERT_EQ(communicator_.Barrier(), OkStatus());
  }

 private:
  Communicator& communicator_;
  void (*body_)(Communicator&);
};

void Register(Communicator& communicator, const char* name, void (*body)(Communicator&)) {
  testing::RegisterTest(
      "MpiGroupTest", name, nullptr, nullptr, __FILE__, __LINE__,
      [&communicator, body]() -> testing::Test* { return new GroupTest(communicator, body); });
}

void AllReduce(Communicator& communicator) {
  CheckAllReduce(communicator, {0, 1, 3, 17, 896, 8191, 8192, 32769, 100003, 1 << 21});
}

void AllGather(Communicator& communicator) {
  CheckAllGather(communicator, {0, 1, 4097, 200000, (size_t{4} << 20) + 5});
}

void Broadcast(Communicator& communicator) {
  CheckBroadcast(communicator, {0, 1, 4097, 200000, (size_t{4} << 20) + 5});
}

void Mixed(Communicator& communicator) { CheckMixedOperations(communicator, 100, 30000); }

double ThreadCpuMs() {
  timespec time{};
  clock_gettime(CLOCK_THREAD_CPUTIME_ID, &time);
  return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) * 1e-6;
}

void IdleRanksSleep(Communicator& communicator) {
  ASSERT_EQ(communicator.Barrier(), OkStatus());
  std::string message;
  const double cpu_before = ThreadCpuMs();
  if (communicator.rank() == 0) {
    std::this_thread::sleep_for(std::chrono::seconds(1));
    timespec now{};
    clock_gettime(CLOCK_MONOTONIC, &now);  // one clock for all processes of a host
    message = std::to_string(now.tv_sec * 1'000'000'000 + now.tv_nsec);
  }
  ASSERT_EQ(communicator.Broadcast(message), OkStatus());
  if (communicator.rank() == 0) return;
  timespec now{};
  clock_gettime(CLOCK_MONOTONIC, &now);
  const double cpu_ms = ThreadCpuMs() - cpu_before;
  const double wake_ms =
      static_cast<double>(now.tv_sec * 1'000'000'000 + now.tv_nsec - std::stoll(message)) * 1e-6;
  std::printf("rank %d waited 1 s: %.2f ms of CPU, awake after %.3f ms\n", communicator.rank(),
              cpu_ms, wake_ms);
  // Tell a rank that sleeps from one that spins, on a busy machine too; the figures are printed.
  EXPECT_LT(cpu_ms, 250.0);
  EXPECT_LT(wake_ms, 500.0);
}

int RunAbort(Communicator& communicator) {
  if (communicator.rank() == communicator.size() - 1) {
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    communicator.Abort(DataLossError("the first reason"));
    return 0;
  }
  const Status status = communicator.Barrier();
  communicator.Abort(status);
  return 0;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) {
  using namespace phalanx;  // NOLINT(google-build-using-namespace)
  testing::InitGoogleTest(&argc, argv);
  Arguments arguments;
  bool abort = false;
  for (int i = 1; i < argc; ++i) {
    constexpr std::string_view kFlag = "--communicator=";
    const std::string_view argument = argv[i];
    if (argument == "--abort") abort = true;
    if (argument.starts_with(kFlag)) arguments.kind_name = argument.substr(kFlag.size());
  }
  const auto kind = ParseCommunicatorKind(arguments.kind_name);
  if (!kind.ok()) {
    std::fprintf(stderr, "%s\n", kind.status().ToString().c_str());
    return 2;
  }
  auto communicator = CreateMpiCommunicator({.kind = *kind, .threads_per_rank = 1});
  if (!communicator.ok()) {
    std::fprintf(stderr, "%s\n", communicator.status().ToString().c_str());
    return 1;
  }
  int initialized = 0;
  MPI_Initialized(&initialized);
  const std::string_view name = (*communicator)->name();
  const bool alone = std::getenv("OMPI_COMM_WORLD_SIZE") == nullptr;
  if (name != (alone ? "single" : arguments.kind_name) || (initialized == 0) != alone) {
    std::fprintf(stderr, "communicator %s, MPI initialised: %d, launched alone: %d\n", name.data(),
                 initialized, alone);
    return 1;
  }
  if (abort) return RunAbort(**communicator);

  if ((*communicator)->rank() != 0) {
    auto& listeners = testing::UnitTest::GetInstance()->listeners();
    if (std::getenv("PHALANX_ALL_RANKS_PRINT") == nullptr)
      delete listeners.Release(listeners.default_result_printer());
  }
  Register(**communicator, "AllReduce", AllReduce);
  Register(**communicator, "RowsDoNotDependOnMessageSize", CheckRowsDoNotDependOnMessageSize);
  Register(**communicator, "AllGather", AllGather);
  Register(**communicator, "Broadcast", Broadcast);
  Register(**communicator, "Mixed", Mixed);
  if ((*communicator)->size() > 1) Register(**communicator, "IdleRanksSleep", IdleRanksSleep);
  return RUN_ALL_TESTS();
}
