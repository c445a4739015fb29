// Every limit that a client can meet, in one place. Each is a flag and a config key of the
// coordinator (see options.cc); the defaults are the documented ones.
#pragma once

#include <chrono>
#include <cstdint>

#include "grammar/grammar_spec.h"

namespace phalanx {

struct Limits {
  // One request.
  int32_t max_prompt_bytes = 1 << 20;    // text, or the contents of all chat messages together
  int32_t max_template_bytes = 4 << 20;  // what the chat template makes of it
  int32_t max_choices = 4;
  int32_t max_stop_strings = 4;
  int32_t max_stop_string_bytes = 256;
  int32_t max_stop_token_ids = 256;
  int32_t max_logit_bias = 300;
  int32_t max_bad_words = 128;
  int32_t max_bad_word_bytes = 256;
  int32_t max_logprobs = 20;
  int32_t max_messages = 1024;
  int32_t max_tools = 64;
  int32_t max_json_depth = 32;
  int32_t max_json_keys = 4096;
  int32_t max_label_bytes = 256;  // request_id, cache_salt
  GrammarLimits grammar;          // rank 0, which compiles, has flags of the same names

  // The connection.
  int32_t max_receive_bytes = 4 << 20;   // one gRPC message
  int32_t max_metadata_bytes = 8 << 10;  // gRPC metadata of one call
  int32_t max_connection_calls = 2048;   // at once on one gRPC connection

  int32_t max_key_streams = 16;  // of one API key at once; a choice counts as one

  // All requests together; a choice counts as one. How many run at once is the worker group's
  // --max-num-seqs.
  int32_t max_waiting = 512;                    // beyond those that run
  int32_t max_stream_buffer_bytes = 256 << 10;  // what one slow reader may leave unread

  // Times.
  std::chrono::milliseconds max_first_token_wait{std::chrono::minutes(5)};
  std::chrono::milliseconds max_request_time{std::chrono::minutes(10)};
  std::chrono::milliseconds max_stalled_write{std::chrono::seconds(60)};
  std::chrono::milliseconds max_idle_time{std::chrono::seconds(60)};  // a connection without calls
  std::chrono::milliseconds max_message_time{std::chrono::seconds(30)};  // a gRPC call's request
  std::chrono::milliseconds max_engine_stall{std::chrono::seconds(3)};
};

}  // namespace phalanx
