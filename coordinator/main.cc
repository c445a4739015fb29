// coordinator: the front of a worker group.
//
// Exit codes: 0 after a drain, 2 where it could not start (wrong flag, model, address, socket).
#include <signal.h>
#include <spdlog/spdlog.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <fstream>
#include <memory>
#include <optional>

#include "coordinator/core/descriptors.h"
#include "coordinator/core/frontend.h"
#include "coordinator/core/refusal_log.h"
#include "coordinator/core/task_queue.h"
#include "coordinator/grpc/engine_listener.h"
#include "coordinator/grpc/handshake_log.h"
#include "coordinator/grpc/public_server.h"
#include "coordinator/http/server.h"
#include "coordinator/metrics/metrics_page.h"
#include "coordinator/openai/openai_handler.h"
#include "coordinator/options.h"
#include "coordinator/server_certificate.h"

namespace phalanx {
namespace {

constexpr int kStartError = 2;

// In two steps, so that a reader never sees half of it.
void WriteReadyFile(const std::filesystem::path& file, const std::string& addresses) {
  const std::filesystem::path draft = file.string() + ".new";
  {
    std::ofstream out(draft);
    out << addresses << '\n';
  }
  std::error_code error;
  std::filesystem::rename(draft, file, error);
  if (error) spdlog::error("--ready-file: cannot write {}: {}", file.string(), error.message());
}

// Admitted requests finish; a second signal, or the timeout, ends them.
void Drain(Frontend& frontend, const sigset_t& signals, std::chrono::milliseconds timeout) {
  constexpr std::chrono::milliseconds kSlice(50);
  constexpr std::chrono::seconds kLeave(3);
  const Clock::time_point end = Clock::now() + timeout;
  frontend.StartDrain();
  const timespec no_wait{};
  bool done = false;
  while (!done && Clock::now() < end && sigtimedwait(&signals, nullptr, &no_wait) < 0) {
    done = frontend.WaitForStreams(kSlice);
  }
  if (!done) frontend.FailAll(UnavailableError("the server has shut down"));
  frontend.WaitForDetach(kLeave);
}

StatusOr<std::unique_ptr<http::Server>> StartHttp(const HttpOptions& options,
                                                  std::shared_ptr<const http::TlsContext> tls,
                                                  std::shared_ptr<RefusalLog> refusals,
                                                  const metrics::MetricsPage& metrics,
                                                  Frontend& frontend, TaskQueue& queue) {
  auto handler = openai::MakeOpenAiHandler(
      frontend, queue, {.unknown_fields = options.unknown_fields, .unix_time = {}, .metrics = [&] {
                          return metrics.Render(frontend.snapshot());
                        }});
  http::ServerOptions server_options = options.server;
  server_options.tls = std::move(tls);
  server_options.refusals = std::move(refusals);
  const size_t num_descriptors = RaiseDescriptorLimit();
  const size_t max_connections = ConnectionsWithin(server_options.max_connections, num_descriptors);
  if (max_connections < server_options.max_connections) {
    spdlog::warn("--max-connections: {} of {} fit into the {} files that may be open (ulimit -n)",
                 max_connections, server_options.max_connections, num_descriptors);
    server_options.max_connections = max_connections;
  }
  auto server = http::Server::Start(std::move(server_options), std::move(handler));
  if (server.ok()) return server;
  return server.status().WithContext(options.listens_on_tcp() ? "--port" : "--uds");
}

std::string AddressOf(const http::Server& server, const http::ServerOptions& options) {
  if (!options.unix_socket.empty()) return "unix:" + options.unix_socket;
  const bool is_v6 = options.host.find(':') != std::string::npos;
  return fmt::format(fmt::runtime(is_v6 ? "[{}]:{}" : "{}:{}"), options.host, server.port());
}

// A file that is wrong now changes nothing.
void ReloadKeys(const KeyOptions& options, ApiKeys& keys) {
  StatusOr<std::vector<ApiKey>> loaded = LoadKeys(options);
  if (!loaded.ok()) {
    spdlog::error("keys stay as they were: {}", loaded.status().message());
    return;
  }
  spdlog::info("keys={}: read again", loaded->size());
  keys.Replace(*std::move(loaded));
}

// What SIGHUP reads again.
struct Reloadable {
  const KeyOptions& key_options;
  ApiKeys& keys;
  ServerCertificate* certificate;  // null: none
};

bool ReloadsAnything(const CoordinatorOptions& options) {
  return !options.keys.file.empty() || options.tls.enabled();
}

// Until one of the blocked signals says to end; its number.
int WaitForEnd(const sigset_t& signals, const Reloadable& reloadable) {
  for (;;) {
    int received = 0;
    sigwait(&signals, &received);
    if (received != SIGHUP) return received;
    if (reloadable.key_options.file.empty() && reloadable.certificate == nullptr) {
      spdlog::info("SIGHUP: there are no keys and no certificate to read again");
    }
    if (!reloadable.key_options.file.empty()) ReloadKeys(reloadable.key_options, reloadable.keys);
    if (reloadable.certificate != nullptr) reloadable.certificate->Reload();
  }
}

int Run(const CoordinatorOptions& options) {
  sigset_t stop;
  sigemptyset(&stop);
  sigaddset(&stop, SIGTERM);
  sigaddset(&stop, SIGINT);
  sigset_t signals = stop;
  // With nothing to read again the end of its terminal ends it, as any program.
  const bool takes_hangups = ReloadsAnything(options) || isatty(STDIN_FILENO) == 0;
  if (takes_hangups) sigaddset(&signals, SIGHUP);
  pthread_sigmask(SIG_BLOCK, &signals, nullptr);  // all threads to come inherit it
  if (takes_hangups) signal(SIGHUP, SIG_DFL);     // what is ignored, as nohup has it, never comes
  signal(SIGPIPE, SIG_IGN);

  const auto refuse = [](const Status& status) {
    spdlog::critical("{}", status.message());
    return kStartError;
  };
  const auto model = ServedModel::Load(options.model);
  if (!model.ok()) return refuse(model.status());
  if ((*model)->tokenizer() == nullptr) {
    spdlog::warn("{}: no tokenizer files; only token ids are taken and given",
                 options.model.model_dir.string());
  }

  StatusOr<std::vector<ApiKey>> loaded_keys = LoadKeys(options.keys);
  if (!loaded_keys.ok()) return refuse(loaded_keys.status());
  if (!options.keys.plain.empty()) {
    spdlog::warn("--api-key: others on this machine can read it; --api-key-file keeps it");
  }
  const auto refusals = std::make_shared<RefusalLog>();
  std::optional<HandshakeLog> handshakes;
  const auto keys = std::make_shared<ApiKeys>(*std::move(loaded_keys));
  std::unique_ptr<PublicServer> server;
  std::string addresses;
  metrics::MetricsPage metrics((*model)->id(), options.metrics_names);
  std::unique_ptr<ServerCertificate> certificate;
  PublicServerOptions server_options = options.server;
  if (options.tls.enabled()) {
    auto loaded = ServerCertificate::Load(
        options.tls, [&metrics](auto expiry) { metrics.SetCertificateExpiry(expiry); });
    if (!loaded.ok()) return refuse(loaded.status());
    certificate = *std::move(loaded);
    server_options.tls = certificate->grpc();
    handshakes.emplace(*refusals);
  }
  const auto on_state = [&](ServingState state) {
    server->SetServing(state);
    if (state == ServingState::kReady && !options.ready_file.empty()) {
      WriteReadyFile(options.ready_file, addresses);
    }
  };
  Frontend frontend(**model, {.limits = options.limits,
                              .on_state = on_state,
                              .observer = metrics.observer(),
                              .keys = keys,
                              .refusals = refusals});
  TaskQueue queue(static_cast<size_t>(options.limits.max_waiting));
  auto started = PublicServer::Start(server_options, frontend, queue);
  if (!started.ok()) return refuse(started.status());
  server = *std::move(started);
  addresses = "grpc=" + server->address();
  std::unique_ptr<http::Server> http_server;
  if (options.http.front == HttpFront::kOn) {
    auto listening = StartHttp(options.http, certificate == nullptr ? nullptr : certificate->http(),
                               refusals, metrics, frontend, queue);
    if (!listening.ok()) {
      server->Shutdown();
      return refuse(listening.status());
    }
    http_server = *std::move(listening);
    addresses += " http=" + AddressOf(*http_server, options.http.server);
  }
  auto engine = EngineListener::Start(options.engine, frontend.dispatcher());
  if (!engine.ok()) {
    server->Shutdown();
    return refuse(engine.status());
  }
  spdlog::info("model={} tokenizer_vocab={} chat_template={} engine={} max_first_token_wait={}s",
               (*model)->id(),
               (*model)->tokenizer() == nullptr ? 0 : (*model)->tokenizer()->vocab_size(),
               (*model)->chat_template().name(), options.engine.string(),
               Seconds(options.limits.max_first_token_wait));
  std::printf("listening %s\n", addresses.c_str());
  std::fflush(stdout);

  spdlog::info("signal={}: draining",
               WaitForEnd(signals, {options.keys, *keys, certificate.get()}));
  Drain(frontend, stop, options.shutdown_timeout);
  constexpr std::chrono::seconds kLastWrites(1);
  if (http_server != nullptr) http_server->Shutdown(Clock::now() + kLastWrites);
  server->Shutdown();
  return 0;
}

}  // namespace
}  // namespace phalanx

int main(int argc, char** argv) {
  const auto options = phalanx::ParseCoordinatorOptions(argc, argv);
  if (const auto* exit = std::get_if<phalanx::ExitCode>(&options)) return exit->value;
  const auto& parsed = std::get<phalanx::CoordinatorOptions>(options);
  phalanx::ConfigureLog("coordinator", parsed.log_level, parsed.log_format);
  return phalanx::Run(parsed);
}
