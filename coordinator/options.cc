#include "coordinator/options.h"

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "app/usage_error.h"
#include "app/yaml_config.h"
#include "coordinator/core/bind_address.h"
#include "coordinator/core/printable.h"
#include "coordinator/grpc/engine_listener.h"
#include "coordinator/seconds_flag.h"
#include "grammar/limit_flags.h"

namespace phalanx {
namespace {

constexpr int kUsageError = 2;
constexpr char kFirstTokenWait[] = "--max-first-token-wait";

void AddLimits(CLI::App* app, Limits* limits) {
  struct Row {
    const char* flag;
    int32_t* value;
    const char* help;
  };
  const Row rows[] = {
      {"--max-prompt-bytes", &limits->max_prompt_bytes, "text of one prompt or of all messages"},
      {"--max-template-bytes", &limits->max_template_bytes, "what the chat template makes of it"},
      {"--max-choices", &limits->max_choices, "n of one request"},
      {"--max-stop-strings", &limits->max_stop_strings, "stop strings of one request"},
      {"--max-stop-string-bytes", &limits->max_stop_string_bytes, "length of a stop string"},
      {"--max-stop-token-ids", &limits->max_stop_token_ids, "stop token ids of one request"},
      {"--max-logit-bias", &limits->max_logit_bias, "entries of one logit_bias"},
      {"--max-bad-words", &limits->max_bad_words, "bad words of one request"},
      {"--max-bad-word-bytes", &limits->max_bad_word_bytes, "length of a bad word"},
      {"--max-messages", &limits->max_messages, "messages of one chat"},
      {"--max-tools", &limits->max_tools, "tools of one chat, tool calls of one message"},
      {"--max-json-depth", &limits->max_json_depth, "nesting of a tool's JSON"},
      {"--max-json-keys", &limits->max_json_keys, "keys in a tool's JSON"},
      {"--max-label-bytes", &limits->max_label_bytes, "length of request_id and of cache_salt"},
      {"--max-receive-bytes", &limits->max_receive_bytes, "one gRPC message"},
      {"--max-metadata-bytes", &limits->max_metadata_bytes, "gRPC metadata of one call"},
      {"--max-connection-calls", &limits->max_connection_calls, "at once on one gRPC connection"},
      {"--max-key-streams", &limits->max_key_streams,
       "sequences of one API key at once, unless its line says otherwise"},
      {"--max-waiting", &limits->max_waiting,
       "sequences that wait beyond those that the workers run (their --max-num-seqs)"},
      {"--max-stream-buffer-bytes", &limits->max_stream_buffer_bytes,
       "what one slow reader may leave unread"},
  };
  for (const Row& row : rows) {
    app->add_option(row.flag, *row.value, row.help)
        ->check(CLI::Range(1, 1 << 30))
        ->group("Limits")
        ->capture_default_str();
  }
  app->add_option("--max-logprobs", limits->max_logprobs, "alternatives of one token")
      ->check(CLI::Range(0, 20))
      ->group("Limits")
      ->capture_default_str();
  AddGrammarLimits(*app, limits->grammar);
  AddSeconds(app, "--max-request-time", &limits->max_request_time, "one request, queue included");
  AddSeconds(app, kFirstTokenWait, &limits->max_first_token_wait,
             "a request that would wait longer for its first token is refused; unless given, 1.5 "
             "where keys, TLS or a --host that is not loopback serve others");
  AddSeconds(app, "--max-idle-time", &limits->max_idle_time, "a gRPC connection without calls");
  AddSeconds(app, "--max-message-time", &limits->max_message_time,
             "until the message of a gRPC call is there");
  AddSeconds(app, "--max-stalled-write", &limits->max_stalled_write,
             "how long a client may leave a message unread");
  constexpr double kLeastStallSeconds = 2;  // idle ranks show progress once a second
  AddSeconds(
      app, "--max-engine-stall", &limits->max_engine_stall,
      "health says NOT_SERVING once a rank has been silent for so long, or a step is so much "
      "later than it should be")
      ->check(CLI::Range(kLeastStallSeconds, 1e6));
  for (const char* flag : {"--max-request-time", kFirstTokenWait, "--max-idle-time",
                           "--max-message-time", "--max-stalled-write", "--max-engine-stall"}) {
    app->get_option(flag)->group("Limits");
  }
}

void AddTlsOptions(CLI::App* app, TlsFiles* files) {
  auto* certificate = app->add_option("--ssl-certfile", files->certificate,
                                      "serve through TLS with this certificate (PEM)");
  auto* key = app->add_option("--ssl-keyfile", files->key, "its key (PEM, mode 0600)");
  certificate->needs(key);
  key->needs(certificate);
  app->add_option("--ssl-ca-certs", files->client_authorities,
                  "clients, too, must show a certificate, from one of these authorities (PEM)")
      ->needs(certificate);
}

bool HasKeys(const KeyOptions& keys) { return !keys.file.empty() || !keys.plain.empty(); }

bool ListensOnTcp(const CoordinatorOptions& options) {
  return options.server.unix_path.empty() || options.http.listens_on_tcp();
}

// Whether others than who started it are expected to come.
StatusOr<bool> ServesOthers(const CoordinatorOptions& options) {
  if (HasKeys(options.keys) || options.tls.enabled()) return true;
  if (!ListensOnTcp(options)) return false;
  PHALANX_ASSIGN_OR_RETURN(const bool loopback, IsLoopback(options.server.host));
  return !loopback;
}

// One's own batch jobs wait for minutes. Others leave: for them a first token within two seconds is
// three quarters wait, since under overload the queue is always about as long as it may be.
Status ChooseFirstTokenWait(CoordinatorOptions& options) {
  constexpr std::chrono::milliseconds kOthers(1500);
  PHALANX_ASSIGN_OR_RETURN(const bool serves_others, ServesOthers(options));
  if (serves_others) options.limits.max_first_token_wait = kOthers;
  return OkStatus();
}

Status CheckHost(const CoordinatorOptions& options, bool insecure) {
  if (insecure || !ListensOnTcp(options)) return OkStatus();
  const bool is_private = HasKeys(options.keys) || !options.tls.client_authorities.empty();
  if (options.tls.enabled() && is_private) return OkStatus();
  PHALANX_ASSIGN_OR_RETURN(const bool loopback, IsLoopback(options.server.host));
  if (loopback) return OkStatus();
  return InvalidArgumentError(
      "--host: is {}, allowed: a loopback address, unless --ssl-certfile and --ssl-keyfile encrypt "
      "and --api-key-file or --ssl-ca-certs says who may come; --insecure allows any",
      Printable(options.server.host));
}

}  // namespace

std::variant<CoordinatorOptions, ExitCode> ParseCoordinatorOptions(int argc,
                                                                   const char* const* argv) {
  CoordinatorOptions options;
  options.engine = DefaultEngineSocket();
  bool insecure = false;
  bool reflection = false;
  std::string log_format = "text";

  CLI::App app(
      "Phalanx coordinator: takes requests over gRPC and HTTP and has a worker group answer them.",
      "coordinator");
  app.set_version_flag("--version", std::string("phalanx coordinator ") + PHALANX_VERSION);
  AddYamlConfig(&app);
  app.add_option("--model,model", options.model.model_dir,
                 "the model's folder, or a hub id that lies in the Hugging Face cache")
      ->required();
  app.add_option("--served-model-name", options.model.names,
                 "names that requests may give; the first is reported (default: --model)");
  app.add_option("--generation-config", options.model.generation_config,
                 "defaults of sampling: auto (the model's generation_config.json), vllm (neutral "
                 "ones), or a folder")
      ->capture_default_str();
  app.add_option("--override-generation-config", options.model.override_generation_config,
                 "JSON object of such defaults, merged over them");
  app.add_option("--chat-template", options.model.chat_template,
                 "file with a chat template instead of the model's");
  app.add_flag("--enable-auto-tool-choice")
      ->description("take tool_choice auto, as is always done where the chat template knows tools");
  app.add_option("--tool-call-parser", "how answers spell tool calls")
      ->check(CLI::IsMember({"hermes"}))
      ->default_str("hermes");
  app.add_option("--reasoning-parser", options.model.reasoning_parser,
                 "how answers of chats spell thinking, which is then reported apart")
      ->check(CLI::IsMember({"deepseek_r1"}));
  app.add_option("--host", options.server.host, "address to listen on")->capture_default_str();
  app.add_option("--grpc-port", options.server.port, "TCP port for gRPC; 0: a free one")
      ->check(CLI::Range(0, 65535))
      ->capture_default_str();
  app.add_option("--grpc-uds", options.server.unix_path,
                 "serve gRPC on this Unix socket instead of host and port");
  AddHttpOptions(&app, &options.http);
  AddKeyOptions(&app, &options.keys);
  AddTlsOptions(&app, &options.tls);
  app.add_flag("--insecure", insecure, "allow a --host that is not loopback");
  app.add_flag("--enable-reflection", reflection, "offer gRPC server reflection");
  app.add_option("--engine", options.engine,
                 "Unix socket for the worker group, in a folder of mode 0700")
      ->capture_default_str();
  app.add_option("--ready-file", options.ready_file,
                 "written with grpc=ADDRESS http=ADDRESS when requests can be served");
  AddSeconds(&app, "--shutdown-timeout", &options.shutdown_timeout,
             "how long admitted requests may take after SIGTERM");
  app.add_option_function<std::string>(
         "--metrics-compat",
         [&options](const std::string&) {
           options.metrics_names = metrics::MetricsNames::kOwnAndVllm;
         },
         "give metrics a second time under the names of another server")
      ->check(CLI::IsMember({"vllm"}));
  app.add_option("--log-level", options.log_level, "least severity that is logged")
      ->check(CLI::IsMember({"trace", "debug", "info", "warning", "error", "critical", "off"}))
      ->capture_default_str();
  app.add_option("--log-format", log_format, "text or json, a line each")
      ->check(CLI::IsMember({"text", "json"}))
      ->capture_default_str();
  AddLimits(&app, &options.limits);
  app.add_option("--max-grpc-memory-bytes", options.server.max_memory_bytes,
                 "what all gRPC connections together may hold")
      ->check(CLI::Range(1 << 20, 1 << 30))
      ->group("Limits")
      ->capture_default_str();

  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    if (error.get_exit_code() == 0) return ExitCode{app.exit(error)};
    std::fprintf(stderr, "%s\n", UsageError(app, error).c_str());
    return ExitCode{kUsageError};
  }
  if (reflection) options.server.reflection = Reflection::kOn;
  options.http.server.host = options.http.server.unix_socket.empty() ? options.server.host : "";
  if (log_format == "json") options.log_format = LogFormat::kJson;
  Status status = CheckHost(options, insecure);
  if (status.ok() && app.count(kFirstTokenWait) == 0) status = ChooseFirstTokenWait(options);
  if (!status.ok()) {
    std::fprintf(stderr, "coordinator: %s\n", status.message().c_str());
    return ExitCode{kUsageError};
  }
  return options;
}

}  // namespace phalanx
