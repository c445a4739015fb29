// Copies between host and device that nobody has waited for yet. What is copied is delivered as
// late as a device may, and what the host does meanwhile to its side is found out:
//
//   - the copy that kernels behind it read arrives at once, but the host's bytes must still be the
//     same when it is over
//   - any other copy's target holds NaNs until it is over
//
// Not safe from several threads by itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <deque>
#include <string>
#include <vector>

namespace phalanx::cuda::emulation {

class PendingCopies {
 public:
  enum class Queue : uint8_t { kCompute, kCopy };

  void Send(Queue queue, void* to, const void* from, size_t bytes);
  void Fetch(void* to, const void* from, size_t bytes);  // in kCompute

  // A number above that of all copies so far.
  uint64_t Mark() const { return next_; }
  // Ends those of `queue` before `mark`; empty, or what the host has done wrong.
  std::string FinishUntil(Queue queue, uint64_t mark);
  std::string FinishAll();

 private:
  struct Copy {
    uint64_t number;
    Queue queue;
    std::byte* to;
    const std::byte* from;
    size_t bytes;
    enum class Kind : uint8_t { kArrived, kToArrive, kToHost } kind;
    size_t hash;                       // of what was sent
    std::vector<std::byte> fetched{};  // of kToHost
  };
  static std::string Finish(const Copy& copy);

  std::deque<Copy> copies_;
  uint64_t next_ = 1;
};

}  // namespace phalanx::cuda::emulation
