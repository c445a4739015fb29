#include "coordinator/grpc/wire.h"

#include <google/protobuf/descriptor.h>
#include <google/protobuf/unknown_field_set.h>
#include <grpcpp/support/slice.h>

#include <optional>
#include <string>
#include <vector>

#include "google/rpc/error_details.pb.h"
#include "text/utf8.h"

namespace phalanx {
namespace {

using google::protobuf::Descriptor;
using google::protobuf::FieldDescriptor;
using google::protobuf::UnknownField;
using google::protobuf::UnknownFieldSet;

void Pack(const google::protobuf::Message& detail, google::rpc::Status* status) {
  google::rpc::Any* any = status->add_details();
  any->set_type_url("type.googleapis.com/" + detail.GetDescriptor()->full_name());
  any->set_value(detail.SerializeAsString());
}

// The path of the first string that is not UTF-8. The generated parser only says that there is one.
std::optional<std::string> FindBadString(const UnknownFieldSet& fields,
                                         const Descriptor& descriptor) {
  for (int i = 0; i < fields.field_count(); ++i) {
    const UnknownField& field = fields.field(i);
    const FieldDescriptor* known = descriptor.FindFieldByNumber(field.number());
    if (known == nullptr || field.type() != UnknownField::TYPE_LENGTH_DELIMITED) continue;
    if (known->type() == FieldDescriptor::TYPE_STRING &&
        FindInvalidUtf8(field.length_delimited())) {
      return known->name();
    }
    if (known->type() != FieldDescriptor::TYPE_MESSAGE) continue;
    UnknownFieldSet inner;
    if (!inner.ParseFromString(field.length_delimited())) continue;
    if (auto path = FindBadString(inner, *known->message_type())) {
      return known->name() + "." + *path;
    }
  }
  return std::nullopt;
}

}  // namespace

grpc::Status ToGrpc(const Status& status) {
  if (status.ok()) return grpc::Status::OK;
  google::rpc::Status details;
  details.set_code(static_cast<int>(status.code()));
  details.set_message(status.message());
  if (!status.field().empty()) {
    google::rpc::BadRequest bad_request;
    auto* violation = bad_request.add_field_violations();
    violation->set_field(status.field());
    violation->set_description(status.message());
    Pack(bad_request, &details);
  }
  if (const auto retry_after = status.retry_after(); retry_after.count() > 0) {
    google::rpc::RetryInfo retry;
    retry.mutable_retry_delay()->set_seconds(retry_after.count() / 1000);
    retry.mutable_retry_delay()->set_nanos(static_cast<int32_t>(retry_after.count() % 1000) *
                                           1'000'000);
    Pack(retry, &details);
  }
  return {static_cast<grpc::StatusCode>(status.code()), status.message(),
          details.SerializeAsString()};
}

Status Parse(const grpc::ByteBuffer& buffer, google::protobuf::Message* message) {
  std::vector<grpc::Slice> slices;
  if (!buffer.Dump(&slices).ok()) return InternalError("the request cannot be read");
  std::string bytes;
  for (const grpc::Slice& slice : slices) {
    bytes.append(reinterpret_cast<const char*>(slice.begin()), slice.size());
  }
  if (message->ParseFromString(bytes)) return OkStatus();
  UnknownFieldSet fields;
  if (fields.ParseFromString(bytes)) {
    if (const auto field = FindBadString(fields, *message->GetDescriptor())) {
      return InvalidField(*field, "no UTF-8", "UTF-8");
    }
  }
  return InvalidArgumentError("the request is no valid {} message",
                              message->GetDescriptor()->full_name());
}

void Serialize(const google::protobuf::Message& message, grpc::ByteBuffer* buffer) {
  grpc::Slice slice(message.ByteSizeLong());
  message.SerializeWithCachedSizesToArray(const_cast<uint8_t*>(slice.begin()));
  *buffer = grpc::ByteBuffer(&slice, 1);
}

}  // namespace phalanx
