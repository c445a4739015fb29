// Keys: what a file may hold, who is let in, and how the keys share the service.
#include "coordinator/core/api_keys.h"

#include <gmock/gmock.h>
#include <grpcpp/generic/generic_stub.h>
#include <gtest/gtest.h>
#include <sys/stat.h>

#include <fstream>
#include <thread>

#include "coordinator/core/fair_share.h"
#include "tests/coordinator/head_only_call.h"
#include "tests/coordinator/test_service.h"

namespace phalanx {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;
using testing::TestService;

std::string Hex(std::string_view key) {
  std::string hex;
  for (const uint8_t byte : Sha256(key)) hex += fmt::format("{:02x}", byte);
  return hex;
}

class KeyFile {
 public:
  explicit KeyFile(const std::string& text, mode_t mode = 0600) {
    std::ofstream(path()) << text;
    chmod(path().c_str(), mode);
  }
  std::filesystem::path path() const { return dir_.path() / "keys"; }

 private:
  testing::TempDir dir_;
};

TEST(Sha256Test, IsTheStandards) {
  // FIPS 180-2, appendix B.1.
  EXPECT_EQ(Hex("abc"), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST(KeyFileTest, ReadsIdsDigestsAndOptions) {
  const KeyFile file("# who\n\nalice " + Hex("a") + "\n  bob-2\t" + Hex("b") +
                     "  expires=2027-01-31 streams=4 metrics\r\n");
  const auto keys = ReadApiKeys(file.path());
  ASSERT_TRUE(keys.ok()) << keys.status();
  ASSERT_EQ(keys->size(), 2U);
  EXPECT_EQ((*keys)[0].id, "alice");
  EXPECT_EQ((*keys)[0].digest, Sha256("a"));
  EXPECT_FALSE((*keys)[0].expires);
  EXPECT_EQ((*keys)[1].id, "bob-2");
  EXPECT_EQ((*keys)[1].max_streams, 4);
  EXPECT_FALSE((*keys)[0].may_read_metrics);
  EXPECT_TRUE((*keys)[1].may_read_metrics);
  EXPECT_EQ((*keys)[1].expires,
            std::chrono::sys_days(std::chrono::year(2027) / std::chrono::January / 31));
}

struct BadFile {
  const char* name;
  std::string text;
  const char* message;
};

class BadKeyFile : public ::testing::TestWithParam<BadFile> {};

TEST_P(BadKeyFile, IsRefusedWithLineAndFieldAndWithoutSecrets) {
  const KeyFile file(GetParam().text);
  const Status status = ReadApiKeys(file.path()).status();
  EXPECT_EQ(status.code(), StatusCode::kInvalidArgument);
  EXPECT_THAT(status.message(), HasSubstr(GetParam().message));
  EXPECT_THAT(status.message(), Not(HasSubstr("sk-secret")));
}

INSTANTIATE_TEST_SUITE_P(
    Each, BadKeyFile,
    ::testing::Values(
        BadFile{"Empty", "# nobody\n", "holds no key"},
        BadFile{"PlainKey", "alice sk-secret\n", "line 1: digest: is none"},
        BadFile{"KeyAsId", "sk-secret!\n", "line 1: id: is not one"},
        BadFile{"NoDigest", "alice\n", "digest: is none"},
        BadFile{"ShortDigest", "alice " + Hex("a").substr(2) + "\n", "digest: is none"},
        BadFile{"NoHex", "alice " + std::string(64, 'g') + "\n", "digest: is none"},
        BadFile{"Twice", "a " + Hex("a") + "\nb " + Hex("b") + "\na " + Hex("c") + "\n",
                "line 3: id: a is there twice"},
        BadFile{"Day", "a " + Hex("a") + " expires=2027-02-30\n", "expires: is no day"},
        BadFile{"Streams", "a " + Hex("a") + " streams=0\n", "streams: is no such number"},
        BadFile{"MetricsValue", "a " + Hex("a") + " metrics=1\n", "an unknown option"},
        BadFile{"Option", "a " + Hex("a") + " sk-secret\n", "an unknown option"}),
    [](const auto& info) { return info.param.name; });

TEST(KeyFileTest, OthersMayNotReadIt) {
  for (const mode_t mode : {0640, 0604, 0660}) {
    const KeyFile file("alice " + Hex("a") + "\n", mode);
    const Status status = ReadApiKeys(file.path()).status();
    EXPECT_EQ(status.code(), StatusCode::kFailedPrecondition);
    EXPECT_THAT(status.message(), HasSubstr(fmt::format("mode {:04o}, allowed: 0600", mode)));
  }
  EXPECT_EQ(ReadApiKeys("/no/such/file").status().code(), StatusCode::kNotFound);
  EXPECT_EQ(ReadApiKeys("/tmp").status().code(), StatusCode::kFailedPrecondition);
}

std::vector<ApiKey> AliceAndBob() {
  return {{.id = "alice", .digest = Sha256("key-a"), .expires = {}},
          {.id = "bob", .digest = Sha256("key-b"), .expires = {}, .max_streams = 2},
          {.id = "monitor", .digest = Sha256("key-m"), .expires = {}, .may_read_metrics = true}};
}

TEST(ApiKeysTest, LetsInWhoHasOne) {
  const ApiKeys nobody;
  EXPECT_EQ(*nobody.Authenticate("anything"), nullptr);

  ApiKeys keys(AliceAndBob());
  EXPECT_EQ((*keys.Authenticate("Bearer key-a"))->id, "alice");
  EXPECT_EQ((*keys.Authenticate("bearer key-b"))->id, "bob");
  for (const char* wrong : {"", "Bearer", "Bearer ", "Bearer key-c", "Bearer key-a ", "key-a",
                            "Basic key-a", "Bearer  key-a"}) {
    const Status status = keys.Authenticate(wrong).status();
    EXPECT_EQ(status.code(), StatusCode::kUnauthenticated) << wrong;
    EXPECT_THAT(status.message(), Not(HasSubstr("key-")));
  }
  keys.Replace({{.id = "carol", .digest = Sha256("key-c"), .expires = {}}});
  EXPECT_FALSE(keys.Authenticate("Bearer key-a").ok());
  EXPECT_EQ((*keys.Authenticate("Bearer key-c"))->id, "carol");
}

TEST(ApiKeysTest, ExpiredOnesAreRefused) {
  const auto today = std::chrono::floor<std::chrono::days>(std::chrono::system_clock::now());
  const ApiKeys keys(
      {{.id = "today", .digest = Sha256("t"), .expires = today},
       {.id = "later", .digest = Sha256("l"), .expires = today + std::chrono::days(2)},
       {.id = "far",
        .digest = Sha256("f"),
        .expires = std::chrono::sys_days(std::chrono::year(9999) / std::chrono::December / 31)}});
  EXPECT_THAT(keys.Authenticate("Bearer t").status().message(), HasSubstr("expired"));
  EXPECT_TRUE(keys.Authenticate("Bearer l").ok());
  EXPECT_TRUE(keys.Authenticate("Bearer f").ok());
}

TEST(SaltTest, DiffersBetweenKeysAndServers) {
  const auto alice = std::make_shared<const ApiKey>(AliceAndBob()[0]);
  const auto bob = std::make_shared<const ApiKey>(AliceAndBob()[1]);
  const KeyDigest secret = Sha256("1");
  EXPECT_EQ(SaltOf(nullptr, secret, "x"), "x");
  EXPECT_EQ(SaltOf(alice, secret, "x"), SaltOf(alice, secret, "x"));
  EXPECT_NE(SaltOf(alice, secret, "x"), SaltOf(bob, secret, "x"));
  EXPECT_NE(SaltOf(alice, secret, "x"), SaltOf(alice, secret, "y"));
  EXPECT_NE(SaltOf(alice, secret, "x"), SaltOf(alice, Sha256("2"), "x"));
}

// One server that serves the lowest start first.
TEST(FairShareTest, AGreedyKeyGetsNoMoreThanItsShare) {
  struct Waiting {
    int64_t start;
    size_t arrival;
    std::string key;
  };
  FairShare share;
  std::vector<Waiting> waiting;
  std::map<std::string, int64_t> served;
  constexpr int64_t kTokens = 100;
  size_t arrivals = 0;
  const auto enter = [&](const std::string& key) {
    waiting.push_back({share.Enter(key, kTokens), arrivals++, key});
  };
  for (int i = 0; i < 500; ++i) enter("greedy");
  for (int polite = 0; polite < 9; ++polite) enter(fmt::format("polite-{}", polite));
  for (int i = 0; i < 400; ++i) {
    const auto next = std::ranges::min_element(
        waiting, {}, [](const Waiting& w) { return std::pair(w.start, w.arrival); });
    const Waiting chosen = *next;
    waiting.erase(next);
    share.Served(chosen.start);
    served[chosen.key] += kTokens;
    if (chosen.key != "greedy") enter(chosen.key);  // the polite have one at a time
  }
  for (const auto& [key, tokens] : served) {
    EXPECT_NEAR(static_cast<double>(tokens), 4000, 200) << key;
  }
}

TEST(FairShareTest, ExpectsAnswersLikeThoseThatTheKeyHad) {
  FairShare share;
  EXPECT_EQ(share.ExpectedOutput("a", 1000), 0);
  for (int i = 0; i < 100; ++i) {
    share.LearnOutput("a", 100);
    share.LearnOutput("b", 20);
  }
  EXPECT_EQ(share.ExpectedOutput("a", 1000), 100);
  EXPECT_EQ(share.ExpectedOutput("a", 30), 30);
  EXPECT_EQ(share.ExpectedOutput("b", 1000), 20);
  EXPECT_NEAR(static_cast<double>(share.ExpectedOutput("c", 1000)), 60, 20) << "as others had";
}

TEST(FairShareTest, CountsTokensAndNotRequests) {
  FairShare share;
  share.Enter("talker", 10);
  share.Charge("talker", 1000);  // a long answer
  share.Enter("short", 10);
  EXPECT_EQ(share.Enter("short", 10), 10);
  EXPECT_EQ(share.Enter("talker", 10), 1010);
}

TEST(FairShareTest, IdleTimeIsNotSavedUp) {
  FairShare share;
  for (int i = 0; i < 10; ++i) share.Served(share.Enter("busy", 100));
  const int64_t late = share.Enter("late", 100);
  EXPECT_EQ(late, 900) << "where service is, not at 0";
}

class WithKeys : public ::testing::Test {
 protected:
  WithKeys() : engine_(service_.AttachEngine()) {}

  grpc::Status Call(const char* authorization,
                    v1::GenerateRequest request = testing::TextRequest("Hi")) {
    grpc::ClientContext context;
    if (authorization != nullptr) context.AddMetadata("authorization", authorization);
    context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
    auto reader = service_.stub().GenerateStream(&context, request);
    return TestService::ReadAll(*reader).status;
  }
  // One that goes on until `context` is cancelled.
  std::unique_ptr<grpc::ClientReader<v1::StreamResponse>> Open(grpc::ClientContext& context,
                                                               const char* authorization) {
    context.AddMetadata("authorization", authorization);
    auto reader = service_.stub().GenerateStream(&context, testing::TextRequest("Hi"));
    last_ = service_.submits().Pop();
    return reader;
  }

  TestService service_{{},
                       {.model_dir = testing::DemoModel()},
                       std::make_shared<RequestObserver>(),
                       std::make_shared<ApiKeys>(AliceAndBob())};
  testing::FakeEngine& engine_;
  internal::Submit last_;
};

TEST_F(WithKeys, EveryMethodAsksForOne) {
  EXPECT_EQ(Call(nullptr).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(Call("Bearer wrong").error_code(), grpc::StatusCode::UNAUTHENTICATED);
  v1::GenerateRequest large = testing::TextRequest(std::string(100'000, 'x'));
  EXPECT_EQ(Call("Bearer wrong", large).error_code(), grpc::StatusCode::UNAUTHENTICATED);
  const auto code = [&](auto method, const auto& request, auto response) {
    grpc::ClientContext context;
    return (service_.stub().*method)(&context, request, &response).error_code();
  };
  using Stub = v1::Inference::Stub;
  EXPECT_EQ(code(&Stub::Generate, v1::GenerateRequest(), v1::GenerateResponse()),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code(&Stub::Chat, v1::ChatRequest(), v1::GenerateResponse()),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code(&Stub::Tokenize, v1::TokenizeRequest(), v1::TokenizeResponse()),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code(&Stub::Detokenize, v1::DetokenizeRequest(), v1::DetokenizeResponse()),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code(&Stub::GetModelInfo, v1::GetModelInfoRequest(), v1::ModelInfo()),
            grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_EQ(code(&Stub::GetServerInfo, v1::GetServerInfoRequest(), v1::ServerInfo()),
            grpc::StatusCode::UNAUTHENTICATED);
  grpc::ClientContext context;
  v1::ChatRequest chat;
  auto reader = service_.stub().ChatStream(&context, chat);
  EXPECT_EQ(TestService::ReadAll(*reader).status.error_code(), grpc::StatusCode::UNAUTHENTICATED);
  EXPECT_TRUE(service_.submits().empty());
}

TEST_F(WithKeys, AStrangerIsRefusedBeforeTheMessageComes) {
  for (const char* method : {"Generate", "GenerateStream", "Chat", "ChatStream", "Tokenize",
                             "Detokenize", "GetModelInfo", "GetServerInfo"}) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", "Bearer wrong");
    const grpc::Status status = testing::CallWithoutMessage(service_.channel(), context, method);
    EXPECT_EQ(status.error_code(), grpc::StatusCode::UNAUTHENTICATED) << method;
  }
}

TEST_F(WithKeys, ACallWithoutAMessageIsRefused) {
  grpc::GenericStub stub(service_.channel());
  grpc::ClientContext context;
  context.AddMetadata("authorization", "Bearer key-a");
  context.set_deadline(std::chrono::system_clock::now() + std::chrono::seconds(20));
  grpc::CompletionQueue queue;
  const auto call = stub.PrepareCall(&context, "/phalanx.v1.Inference/Generate", &queue);
  grpc::Status status;
  call->StartCall(&context);
  void* tag = nullptr;
  bool ok = false;
  ASSERT_TRUE(queue.Next(&tag, &ok));
  call->WritesDone(&context);
  call->Finish(&status, &status);
  testing::TakeAll(queue);
  EXPECT_EQ(status.error_code(), grpc::StatusCode::INVALID_ARGUMENT);
}

TEST_F(WithKeys, OnlyThoseThatMaySeeWhatCountsEverybody) {
  const auto ask = [&](const char* authorization) {
    grpc::ClientContext context;
    context.AddMetadata("authorization", authorization);
    v1::ServerInfo info;
    return service_.stub().GetServerInfo(&context, {}, &info);
  };
  const grpc::Status refused = ask("Bearer key-a");
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::PERMISSION_DENIED);
  EXPECT_THAT(refused.error_message(), HasSubstr("metrics: this key may not read them, allowed: "));
  EXPECT_TRUE(ask("Bearer key-m").ok());
}

TEST_F(WithKeys, EachHasItsOwnLimitAndItsOwnCache) {
  grpc::ClientContext first;
  grpc::ClientContext second;
  grpc::ClientContext other;
  const auto a = Open(first, "Bearer key-b");
  const std::string salt_of_bob = last_.cache_salt();
  const auto b = Open(second, "Bearer key-b");
  EXPECT_EQ(last_.cache_salt(), salt_of_bob);
  const grpc::Status third = Call("Bearer key-b");
  EXPECT_EQ(third.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(third.error_message(), HasSubstr("allowed: 2 at once"));
  const auto c = Open(other, "Bearer key-a");
  EXPECT_NE(last_.cache_salt(), salt_of_bob);
  EXPECT_THAT(last_.cache_salt(), Not(HasSubstr("alice")));
  first.TryCancel();
  service_.cancels().Pop();
  grpc::ClientContext again;
  const auto d = Open(again, "Bearer key-b");
  for (grpc::ClientContext* context : {&second, &other, &again}) context->TryCancel();
}

TEST_F(WithKeys, WhoHasUsedLessStartsEarlier) {
  grpc::ClientContext first;
  grpc::ClientContext second;
  grpc::ClientContext other;
  const auto a = Open(first, "Bearer key-a");
  EXPECT_EQ(last_.fair_start(), 0);
  const auto b = Open(second, "Bearer key-a");
  const int64_t of_second = last_.fair_start();
  EXPECT_EQ(of_second, last_.prompt_ids_size());
  const auto c = Open(other, "Bearer key-b");
  EXPECT_LT(last_.fair_start(), of_second);
  for (grpc::ClientContext* context : {&first, &second, &other}) context->TryCancel();
}

// Requests that a key queues at once are apart by prompt and answer, and what an answer did not
// have is given back.
TEST_F(WithKeys, AQueueIsChargedForItsAnswersBeforeTheyCome) {
  grpc::ClientContext first;
  grpc::ClientContext second;
  grpc::ClientContext third;
  const auto a = Open(first, "Bearer key-a");
  engine_.Send(
      testing::FakeEngine::Output(last_.request(), 0, {1, 2, 3}, internal::ENGINE_FINISH_LENGTH));
  EXPECT_TRUE(TestService::ReadAll(*a).status.ok());
  const auto b = Open(second, "Bearer key-a");
  const int64_t of_second = last_.fair_start();
  EXPECT_EQ(of_second, last_.prompt_ids_size() + 3);
  const auto c = Open(third, "Bearer key-a");
  EXPECT_EQ(last_.fair_start() - of_second, last_.prompt_ids_size() + 3);
  second.TryCancel();
  service_.cancels().Pop();
  third.TryCancel();
  service_.cancels().Pop();
  grpc::ClientContext fourth;
  const auto d = Open(fourth, "Bearer key-a");
  EXPECT_EQ(last_.fair_start() - of_second, 2 * last_.prompt_ids_size());
  fourth.TryCancel();
}

// The group serves a key that has used less first, so it does not wait for what others queued.
TEST(FairAdmissionTest, AQueueOfOneKeyRefusesNoOther) {
  constexpr int kQueued = 100;
  Limits limits;
  limits.max_key_streams = 2 * kQueued;
  limits.max_first_token_wait = std::chrono::seconds(5);
  std::vector<ApiKey> keys;
  for (const char* id : {"greedy", "polite"}) {
    keys.push_back({.id = id, .digest = Sha256(fmt::format("key-{}", id)), .expires = {}});
  }
  TestService service(limits, {.model_dir = testing::DemoModel()},
                      std::make_shared<RequestObserver>(), std::make_shared<ApiKeys>(keys));
  internal::Register group = testing::FakeEngine::DefaultRegistration(service.model().vocab_size());
  group.set_max_num_seqs(1);
  testing::FakeEngine& engine = service.AttachEngine(group);
  std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
  std::vector<std::unique_ptr<grpc::ClientReader<v1::StreamResponse>>> readers;
  const auto open = [&](const char* key) {
    grpc::ClientContext& context = *contexts.emplace_back(std::make_unique<grpc::ClientContext>());
    context.AddMetadata("authorization", fmt::format("Bearer key-{}", key));
    return service.stub().GenerateStream(&context, testing::TextRequest("Hi"));
  };
  uint64_t first = 0;
  for (int i = 0; i <= kQueued; ++i) {
    readers.push_back(open("greedy"));
    const uint64_t request = service.submits().Pop().request();
    if (i == 0) first = request;
  }
  // One end takes a tenth of a second or more, so a hundred take ten.
  std::this_thread::sleep_for(std::chrono::milliseconds(100));
  engine.Send(testing::FakeEngine::Output(first, 0, {1}, internal::ENGINE_FINISH_LENGTH));
  EXPECT_TRUE(TestService::ReadAll(*readers[0]).status.ok());
  const grpc::Status refused = TestService::ReadAll(*open("greedy")).status;
  EXPECT_EQ(refused.error_code(), grpc::StatusCode::RESOURCE_EXHAUSTED);
  EXPECT_THAT(refused.error_message(), HasSubstr("the first token would take"));
  readers.push_back(open("polite"));
  EXPECT_GT(service.submits().Pop().request(), first);
  for (const auto& context : contexts) context->TryCancel();
  for (size_t i = 1; i < readers.size(); ++i) TestService::ReadAll(*readers[i]);
}

// As above, but what is there runs: the group lets the other key have one of the two places, unless
// it serves by priority.
TEST(FairAdmissionTest, PlacesOfOneKeyRefuseNoOtherItsPart) {
  for (const bool shares_places : {true, false}) {
    SCOPED_TRACE(shares_places);
    Limits limits;
    limits.max_first_token_wait = std::chrono::milliseconds(50);
    std::vector<ApiKey> keys;
    for (const char* id : {"greedy", "polite"}) {
      keys.push_back({.id = id, .digest = Sha256(fmt::format("key-{}", id)), .expires = {}});
    }
    TestService service(limits, {.model_dir = testing::DemoModel()},
                        std::make_shared<RequestObserver>(), std::make_shared<ApiKeys>(keys));
    internal::Register group =
        testing::FakeEngine::DefaultRegistration(service.model().vocab_size());
    group.set_max_num_seqs(2);
    group.set_shares_places(shares_places);
    testing::FakeEngine& engine = service.AttachEngine(group);
    std::vector<std::unique_ptr<grpc::ClientContext>> contexts;
    std::vector<std::unique_ptr<grpc::ClientReader<v1::StreamResponse>>> readers;
    const auto open = [&](const char* key) {
      grpc::ClientContext& context =
          *contexts.emplace_back(std::make_unique<grpc::ClientContext>());
      context.AddMetadata("authorization", fmt::format("Bearer key-{}", key));
      return service.stub().GenerateStream(&context, testing::TextRequest("Hi"));
    };
    std::vector<uint64_t> shares;
    const auto take = [&] {
      const internal::Submit submit = service.submits().Pop();
      shares.push_back(submit.share());
      return submit.request();
    };
    std::vector<uint64_t> requests;
    for (int i = 0; i < 3; ++i) {
      readers.push_back(open("greedy"));
      requests.push_back(take());
    }
    std::this_thread::sleep_for(std::chrono::milliseconds(200));
    engine.Send(testing::FakeEngine::Output(requests[0], 0, {1}, internal::ENGINE_FINISH_LENGTH));
    EXPECT_TRUE(TestService::ReadAll(*readers[0]).status.ok());
    readers.push_back(open("polite"));
    if (shares_places) {
      take();
      EXPECT_NE(shares.back(), shares.front());
    } else {
      EXPECT_EQ(TestService::ReadAll(*readers.back()).status.error_code(),
                grpc::StatusCode::RESOURCE_EXHAUSTED);
      readers.pop_back();
    }
    for (const auto& context : contexts) context->TryCancel();
    for (size_t i = 1; i < readers.size(); ++i) TestService::ReadAll(*readers[i]);
  }
}

}  // namespace
}  // namespace phalanx
