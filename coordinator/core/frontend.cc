#include "coordinator/core/frontend.h"

#include <fmt/format.h>

#include <algorithm>
#include <random>
#include <type_traits>
#include <utility>

#include "coordinator/core/prompt.h"
#include "coordinator/core/sampling.h"
#include "coordinator/core/tool_choice.h"

namespace phalanx {
namespace {

// At random: numbers in order would tell each client how many requests the others make.
std::string DrawId() {
  std::random_device device;
  return fmt::format("req-{:08x}{:08x}", device(), device());
}

KeyDigest DrawSecret() {
  std::random_device device;
  std::string bytes;
  for (int i = 0; i < 8; ++i) bytes += fmt::format("{:08x}", device());
  return Sha256(bytes);
}

// Whether the prompt, as vLLM judges it, leaves the model no thinking to do.
bool EndsReasoning(const std::vector<int32_t>& prompt_ids, const ReasoningTokens& tokens) {
  const auto last = std::find_if(prompt_ids.rbegin(), prompt_ids.rend(), [&](int32_t id) {
    return id == tokens.begin || id == tokens.end;
  });
  return last != prompt_ids.rend() && *last == tokens.end;
}

// The answer's thinking is reported apart, and its grammar holds for what follows.
void SetReasoning(const std::vector<int32_t>& prompt_ids,
                  const std::optional<ReasoningTokens>& tokens, RequestParams* params) {
  if (!tokens || EndsReasoning(prompt_ids, *tokens)) return;
  params->reasoning = Reasoning::kApart;
  if (params->engine.has_grammar()) {
    params->engine.mutable_grammar()->set_start_after(tokens->end);
  }
}

RefusalKind KindOf(KeyVerdict verdict) {
  switch (verdict) {
    case KeyVerdict::kUnknown:
      return RefusalKind::kUnknownKey;
    case KeyVerdict::kExpired:
      return RefusalKind::kExpiredKey;
    default:
      return RefusalKind::kNoKey;
  }
}

void AddTotals(const RequestTotals::Counts& counts, v1::ServerInfo* info) {
  info->set_num_prompt_tokens(counts.prompt_tokens);
  info->set_num_generated_tokens(counts.generated_tokens);
  info->set_num_first_tokens(counts.first_tokens);
  info->set_first_token_seconds(counts.first_token_s);
  info->set_num_finished(counts.finished);
  info->set_num_failed(counts.failed);
  info->set_num_refused(counts.refused);
}

void AddRank(const internal::RankStats& rank, v1::ServerInfo* info) {
  v1::RankInfo& out = *info->add_ranks();
  out.set_rank(rank.rank());
  out.set_num_steps(static_cast<int64_t>(rank.steps()));
  out.set_step_seconds(1e-9 * static_cast<double>(rank.step_ns()));
  out.set_collective_seconds(1e-9 * static_cast<double>(rank.collective_ns()));
  out.set_resident_bytes(rank.resident_bytes());
  out.set_kv_cache_bytes(rank.kv_cache_bytes());
  out.set_device_reserved_bytes(rank.device().reserved_bytes());
  out.set_device_free_bytes(rank.device().free_bytes());
}

}  // namespace

Frontend::Frontend(const ServedModel& model, FrontendOptions options)
    : model_(model),
      limits_(options.limits),
      start_(Clock::now()),
      observer_(std::make_shared<RequestTotals>(std::move(options.observer))),
      keys_(std::move(options.keys)),
      refusals_(std::move(options.refusals)),
      salt_secret_(DrawSecret()),
      dispatcher_({.limits = options.limits,
                   .vocab_size = model.vocab_size(),
                   .on_state = std::move(options.on_state),
                   .observer = observer_}) {}

StatusOr<ApiKeyPtr> Frontend::Authenticate(std::string_view authorization,
                                           const Origin& origin) const {
  KeyCheck check = keys_->Check(authorization);
  const Status status = StatusOf(check.verdict);
  if (status.ok()) return std::move(check.key);
  observer_->OnRefused(status.code());
  refusals_->Add({.protocol = origin.protocol,
                  .kind = KindOf(check.verdict),
                  .peer = origin.peer,
                  .detail = check.key == nullptr ? std::string_view() : check.key->id});
  return status;
}

Status Frontend::CheckMetrics(const ApiKeyPtr& key, const Origin& origin) const {
  if (key == nullptr || key->may_read_metrics) return OkStatus();
  Status status(StatusCode::kPermissionDenied,
                "metrics: this key may not read them, allowed: keys whose line of the key file "
                "says metrics");
  observer_->OnRefused(status.code());
  refusals_->Add({.protocol = origin.protocol,
                  .kind = RefusalKind::kNoMetrics,
                  .peer = origin.peer,
                  .detail = key->id});
  return status;
}

template <typename Request>
StatusOr<std::shared_ptr<Stream>> Frontend::StartObserved(const Request& request,
                                                          DefaultMaxTokens default_max_tokens,
                                                          Caller caller) {
  auto stream = Start(request, default_max_tokens, std::move(caller));
  if (!stream.ok()) observer_->OnRefused(stream.status().code());
  return stream;
}

template <typename Request>
StatusOr<std::shared_ptr<Stream>> Frontend::Start(const Request& request,
                                                  DefaultMaxTokens default_max_tokens,
                                                  Caller caller) {
  const Clock::time_point arrival = Clock::now();
  PHALANX_RETURN_IF_ERROR(model_.CheckName(request.model()));
  PHALANX_RETURN_IF_ERROR(CheckLabels(request.request_id(), request.cache_salt()));
  PHALANX_ASSIGN_OR_RETURN(RequestParams params, ResolveSampling(request.sampling(), model_,
                                                                 limits_, default_max_tokens));
  if constexpr (std::is_same_v<Request, v1::ChatRequest>) {
    PHALANX_RETURN_IF_ERROR(ResolveToolChoice(request, model_, limits_, &params));
  }
  // Also before the work of tokenizing, which a full queue must not have to pay for. No token has
  // less than a byte.
  PHALANX_RETURN_IF_ERROR(dispatcher_.CheckAdmission(caller.key, params.num_choices,
                                                     static_cast<int64_t>(request.ByteSizeLong()),
                                                     caller.deadline));
  PHALANX_ASSIGN_OR_RETURN(Prompt prompt, BuildPrompt(request, model_, limits_));
  if constexpr (std::is_same_v<Request, v1::ChatRequest>) {
    SetReasoning(prompt.ids, model_.reasoning(), &params);
  }
  PHALANX_RETURN_IF_ERROR(
      FitToContext(static_cast<int32_t>(prompt.ids.size()), ContextLength(), &params));
  StreamInit init;
  init.label = request.request_id();
  init.cache_salt = SaltOf(caller.key, salt_secret_, request.cache_salt());
  init.key = std::move(caller.key);
  init.priority = request.priority();
  init.delivery = caller.delivery;
  init.start = arrival;
  init.deadline = std::min(caller.deadline, init.start + limits_.max_request_time);
  init.sink = std::move(caller.sink);
  init.first_request = dispatcher_.NewRequests(params.num_choices);
  init.id = DrawId();
  init.prompt = std::move(prompt);
  init.params = std::move(params);
  PHALANX_ASSIGN_OR_RETURN(std::shared_ptr<Stream> stream,
                           Stream::Create(std::move(init), model_.tokenizer()));
  PHALANX_RETURN_IF_ERROR(dispatcher_.Submit(stream));
  return stream;
}

StatusOr<std::shared_ptr<Stream>> Frontend::Generate(const v1::GenerateRequest& request,
                                                     Caller caller) {
  return StartObserved(request, DefaultMaxTokens::kSixteen, std::move(caller));
}

StatusOr<std::shared_ptr<Stream>> Frontend::Chat(const v1::ChatRequest& request, Caller caller) {
  return StartObserved(request, DefaultMaxTokens::kRestOfContext, std::move(caller));
}

Status Frontend::CheckLabels(std::string_view label, std::string_view salt) const {
  const auto limit = static_cast<size_t>(limits_.max_label_bytes);
  for (const auto& [field, value] : {std::pair("request_id", label), {"cache_salt", salt}}) {
    if (value.size() > limit) {
      return InvalidField(field, fmt::format("{} bytes", value.size()),
                          fmt::format("at most {}", limit));
    }
  }
  return OkStatus();
}

int32_t Frontend::ContextLength() const {
  const std::shared_ptr<EngineSession> session = dispatcher_.snapshot().session;
  return session != nullptr ? session->info().max_model_len() : model_.max_position_embeddings();
}

StatusOr<v1::TokenizeResponse> Frontend::Tokenize(const v1::TokenizeRequest& request) const {
  PHALANX_RETURN_IF_ERROR(model_.CheckName(request.model()));
  if (request.has_chat()) PHALANX_RETURN_IF_ERROR(model_.CheckName(request.chat().model()));
  PHALANX_ASSIGN_OR_RETURN(const Prompt prompt, BuildPrompt(request, model_, limits_));
  v1::TokenizeResponse response;
  response.mutable_token_ids()->Add(prompt.ids.begin(), prompt.ids.end());
  for (const int32_t id : prompt.ids) {
    const std::string_view bytes = model_.tokenizer()->TokenBytes(id);
    response.add_tokens(bytes.data(), bytes.size());
  }
  response.set_max_model_len(ContextLength());
  return response;
}

StatusOr<v1::DetokenizeResponse> Frontend::Detokenize(const v1::DetokenizeRequest& request) const {
  PHALANX_RETURN_IF_ERROR(model_.CheckName(request.model()));
  const Tokenizer* tokenizer = model_.tokenizer();
  if (tokenizer == nullptr) {
    return UnimplementedError("the served model has no tokenizer");
  }
  for (int i = 0; i < request.token_ids_size(); ++i) {
    if (!tokenizer->IsKnown(request.token_ids(i))) {
      return InvalidField("token_ids", fmt::format("{} at position {}", request.token_ids(i), i),
                          "ids that the tokenizer knows");
    }
  }
  const DecodeOptions options{.special_tokens = request.skip_special_tokens()
                                                    ? SpecialTokenText::kSkip
                                                    : SpecialTokenText::kKeep};
  PHALANX_ASSIGN_OR_RETURN(
      const std::string text,
      tokenizer->Decode({request.token_ids().data(), static_cast<size_t>(request.token_ids_size())},
                        options));
  v1::DetokenizeResponse response;
  response.set_text(text);
  return response;
}

StatusOr<v1::ModelInfo> Frontend::GetModelInfo(const v1::GetModelInfoRequest& request) const {
  PHALANX_RETURN_IF_ERROR(model_.CheckName(request.model()));
  v1::ModelInfo info;
  info.set_id(model_.id());
  info.set_vocab_size(model_.vocab_size());
  info.set_architecture(model_.architecture());
  info.set_has_chat_template(model_.chat_template().name() != "none");
  info.mutable_eos_token_ids()->Add(model_.eos_token_ids().begin(), model_.eos_token_ids().end());
  const std::shared_ptr<EngineSession> session = dispatcher_.snapshot().session;
  info.set_max_model_len(ContextLength());
  info.set_dtype(session != nullptr ? session->info().dtype() : model_.dtype());
  return info;
}

v1::ServerInfo Frontend::GetServerInfo() const {
  v1::ServerInfo info;
  info.set_version(PHALANX_VERSION);
  info.set_model(model_.id());
  info.set_uptime_seconds(Seconds(Clock::now() - start_));
  AddTotals(observer_->counts(), &info);
  const Dispatcher::Snapshot snapshot = dispatcher_.snapshot();
  info.set_state(std::string(Name(snapshot.state)));
  info.set_state_reason(snapshot.state_reason);
  info.set_num_open(snapshot.num_open);
  info.set_waiting_prompt_tokens(snapshot.waiting_tokens);
  const internal::EngineStats& stats = snapshot.stats;
  info.set_num_steps(static_cast<int64_t>(stats.last_step()));
  for (const internal::RankStats& rank : stats.ranks()) AddRank(rank, &info);
  info.set_num_running(stats.num_running());
  info.set_num_waiting(stats.num_waiting());
  info.set_num_free_blocks(stats.num_free_blocks());
  info.set_num_cached_blocks(stats.num_cached_blocks());
  info.set_num_preemptions(stats.num_preemptions());
  info.set_prefix_cache_queries(stats.prefix_cache_queries());
  info.set_prefix_cache_hits(stats.prefix_cache_hits());
  if (snapshot.session == nullptr) return info;
  const internal::Register& group = snapshot.session->info();
  info.set_epoch(static_cast<int64_t>(snapshot.epoch));
  info.set_numerics_id(group.numerics_id());
  info.set_num_ranks(group.num_ranks());
  info.set_device(group.device());
  info.set_isa(group.isa());
  info.set_block_size(group.block_size());
  info.set_num_blocks(group.num_blocks());
  info.set_max_num_seqs(group.max_num_seqs());
  info.set_max_num_batched_tokens(group.max_num_batched_tokens());
  return info;
}

}  // namespace phalanx
