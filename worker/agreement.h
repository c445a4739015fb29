// What ranks compare before they serve together. Collective: every rank calls the same functions in
// the same order.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "kernels/base/status.h"
#include "parallel/communicator.h"

namespace phalanx {

// OK where every rank brings OK; else the error of the lowest rank that failed, the same on every
// rank, with "rank R" before it where there is more than one rank. Messages are cut at 1000 bytes.
Status AgreeOnStatus(Communicator& communicator, const Status& mine);

// The value of `mine` where every rank brings one, else the error as above.
template <typename T>
StatusOr<T> Agree(Communicator& communicator, StatusOr<T> mine) {
  PHALANX_RETURN_IF_ERROR(AgreeOnStatus(communicator, mine.ok() ? OkStatus() : mine.status()));
  return mine;
}

StatusOr<int64_t> AgreeOnMinimum(Communicator& communicator, int64_t mine);

// The best instruction set that every rank offers. `offered` is best first.
StatusOr<std::string> AgreeOnIsa(Communicator& communicator,
                                 const std::vector<std::string>& offered);

// Refuses where a rank's value differs from rank 0's, naming the rank, the field and both values.
// Values are compared up to 120 bytes.
using NamedValues = std::vector<std::pair<std::string, std::string>>;
Status AgreeOnValues(Communicator& communicator, const NamedValues& values);

// Values of what tokens depend on, joined: groups with equal ids make equal tokens.
std::string JoinValues(const NamedValues& values);

}  // namespace phalanx
