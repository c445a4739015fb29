// The fields that chat and text completions share: sampling, delivery, labels.
#pragma once

#include <span>

#include "coordinator/openai/call.h"
#include "coordinator/openai/field_table.h"

namespace phalanx::openai {

std::span<const FieldRow<Call>> CommonRows();

// What can only be judged once all fields are read.
Status CheckCommon(const Call& call);

Status ReadIds(const JsonField& field, google::protobuf::RepeatedField<int32_t>* ids);

// The common parts of the request path's message.
template <typename Request>
void FillCommon(const Call& call, Request* request) {
  request->set_model(call.model);
  request->set_request_id(call.request_id);
  request->set_cache_salt(call.cache_salt);
  request->set_priority(call.priority);
  *request->mutable_sampling() = call.sampling;
}

}  // namespace phalanx::openai
