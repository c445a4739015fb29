#include "worker/agreement.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <span>

namespace phalanx {
namespace {

template <typename T>
StatusOr<std::vector<T>> Gather(Communicator& communicator, const T& mine) {
  std::vector<T> all(static_cast<size_t>(communicator.size()));
  PHALANX_RETURN_IF_ERROR(communicator.AllGather(std::as_bytes(std::span(&mine, 1)),
                                                 std::as_writable_bytes(std::span(all))));
  return all;
}

template <size_t kSize>
using Text = std::array<char, kSize>;  // padded with zeros, the last one always zero

template <size_t kSize>
Text<kSize> ToText(const std::string& value) {
  Text<kSize> text{};
  std::memcpy(text.data(), value.data(), std::min(value.size(), kSize - 1));
  return text;
}

struct StatusRecord {
  int32_t code = 0;
  Text<1004> message{};
  Text<128> field{};
};

}  // namespace

Status AgreeOnStatus(Communicator& communicator, const Status& mine) {
  const StatusRecord record{.code = static_cast<int32_t>(mine.code()),
                            .message = ToText<1004>(mine.message()),
                            .field = ToText<128>(mine.field())};
  PHALANX_ASSIGN_OR_RETURN(const std::vector<StatusRecord> all, Gather(communicator, record));
  for (size_t rank = 0; rank < all.size(); ++rank) {
    if (all[rank].code == 0) continue;
    Status status =
        Status(static_cast<StatusCode>(all[rank].code), std::string(all[rank].message.data()))
            .WithField(all[rank].field.data());
    return all.size() == 1 ? status : status.WithContext(fmt::format("rank {}", rank));
  }
  return OkStatus();
}

StatusOr<int64_t> AgreeOnMinimum(Communicator& communicator, int64_t mine) {
  PHALANX_ASSIGN_OR_RETURN(const std::vector<int64_t> all, Gather(communicator, mine));
  return *std::min_element(all.begin(), all.end());
}

StatusOr<std::string> AgreeOnIsa(Communicator& communicator,
                                 const std::vector<std::string>& offered) {
  using List = std::array<Text<16>, 8>;
  List mine{};
  for (size_t i = 0; i < std::min(offered.size(), mine.size()); ++i) {
    mine[i] = ToText<16>(offered[i]);
  }
  PHALANX_ASSIGN_OR_RETURN(const std::vector<List> all, Gather(communicator, mine));
  for (const Text<16>& isa : all.front()) {
    if (isa.front() == '\0') break;
    const bool everywhere = std::all_of(all.begin(), all.end(), [&](const List& list) {
      return std::find(list.begin(), list.end(), isa) != list.end();
    });
    if (everywhere) return std::string(isa.data());
  }
  return FailedPreconditionError("the ranks have no instruction set in common; rank {} offers {}",
                                 communicator.rank(), fmt::join(offered, ", "));
}

Status AgreeOnValues(Communicator& communicator, const NamedValues& values) {
  for (const auto& [name, value] : values) {
    PHALANX_ASSIGN_OR_RETURN(const std::vector<Text<121>> all,
                             Gather(communicator, ToText<121>(value)));
    for (size_t rank = 1; rank < all.size(); ++rank) {
      if (all[rank] == all[0]) continue;
      return FailedPreconditionError(
          "ranks disagree on {}: rank 0 has {}, rank {} has {}; all must have the same", name,
          all[0].data(), rank, all[rank].data());
    }
  }
  return OkStatus();
}

std::string JoinValues(const NamedValues& values) {
  std::string joined;
  for (const auto& [name, value] : values) {
    if (!joined.empty()) joined += ' ';
    joined += fmt::format("{}={}", name, value);
  }
  return joined;
}

}  // namespace phalanx
