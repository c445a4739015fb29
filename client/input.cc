#include "client/input.h"

#include <fcntl.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "text/utf8.h"

namespace phalanx {
namespace {

using google::protobuf::FieldDescriptor;

class FileDescriptor {
 public:
  explicit FileDescriptor(const std::string& path)
      : owned_(path != "-"),
        value_(owned_ ? open(path.c_str(), O_RDONLY | O_CLOEXEC) : STDIN_FILENO) {}
  ~FileDescriptor() {
    if (owned_ && value_ >= 0) close(value_);
  }
  FileDescriptor(const FileDescriptor&) = delete;
  FileDescriptor& operator=(const FileDescriptor&) = delete;

  int value() const { return value_; }

 private:
  const bool owned_;
  const int value_;
};

Status CannotRead(std::string_view flag, const std::string& path, int error) {
  const std::string name = path == "-" ? "standard input" : fmt::format("'{}'", path);
  return {error == ENOENT ? StatusCode::kNotFound : StatusCode::kInvalidArgument,
          fmt::format("{}: cannot read {}: {}", flag, name, std::strerror(error))};
}

}  // namespace

StatusOr<std::string> ReadInput(std::string_view flag, const std::string& path) {
  const FileDescriptor file(path);
  if (file.value() < 0) return CannotRead(flag, path, errno);
  constexpr size_t kChunkBytes = size_t{64} << 10;
  std::string text;
  while (true) {
    const size_t size = text.size();
    text.resize(size + kChunkBytes);
    const ssize_t count = read(file.value(), text.data() + size, kChunkBytes);
    text.resize(size + static_cast<size_t>(count > 0 ? count : 0));
    if (count == 0) return text;
    if (count < 0 && errno != EINTR) return CannotRead(flag, path, errno);
  }
}

Status CheckUtf8(std::string_view name, std::string_view text) {
  const auto invalid = FindInvalidUtf8(text);
  if (!invalid) return OkStatus();
  return InvalidArgumentError("{}: is no UTF-8 at byte {} ({:#04x}), allowed: UTF-8", name,
                              *invalid, static_cast<unsigned char>(text[*invalid]))
      .WithField(name);
}

Status CheckUtf8(const google::protobuf::Message& message) {
  const auto& reflection = *message.GetReflection();
  std::vector<const FieldDescriptor*> fields;
  reflection.ListFields(message, &fields);
  for (const FieldDescriptor* field : fields) {
    const bool is_text = field->type() == FieldDescriptor::TYPE_STRING;
    const bool is_message = field->cpp_type() == FieldDescriptor::CPPTYPE_MESSAGE;
    if (!is_text && !is_message) continue;
    const int count = field->is_repeated() ? reflection.FieldSize(message, field) : 1;
    for (int i = 0; i < count; ++i) {
      if (is_message) {
        PHALANX_RETURN_IF_ERROR(CheckUtf8(field->is_repeated()
                                              ? reflection.GetRepeatedMessage(message, field, i)
                                              : reflection.GetMessage(message, field)));
      } else {
        PHALANX_RETURN_IF_ERROR(CheckUtf8(
            field->name(), field->is_repeated() ? reflection.GetRepeatedString(message, field, i)
                                                : reflection.GetString(message, field)));
      }
    }
  }
  return OkStatus();
}

}  // namespace phalanx
