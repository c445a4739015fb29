// Invariant checks. A failed check is a bug in this project, never a client's doing: it prints the
// expression, the values and the place, then aborts the process (the launcher then ends the whole
// group).
//
//   PHALANX_CHECK(ptr != nullptr);
//   PHALANX_CHECK_EQ(x.cols(), w.in_features);   // prints both values
//   PHALANX_DCHECK(i < n);                       // compiled out in release builds, for hot loops
#pragma once

#include <cstdio>
#include <cstdlib>
#include <sstream>
#include <string>

namespace phalanx::internal {

[[noreturn]] inline void CheckFailed(const char* file, int line, const std::string& what) {
  std::fprintf(stderr, "CHECK failed at %s:%d: %s\n", file, line, what.c_str());
  std::fflush(stderr);
  std::abort();
}

template <typename A, typename B>
[[noreturn]] void CheckOpFailed(const char* file, int line, const char* expression, const A& a,
                                const B& b) {
  std::ostringstream os;
  os << expression << " (" << a << " vs " << b << ")";
  CheckFailed(file, line, os.str());
}

}  // namespace phalanx::internal

#define PHALANX_CHECK(condition)                                        \
  do {                                                                  \
    if (!(condition)) [[unlikely]]                                      \
      ::phalanx::internal::CheckFailed(__FILE__, __LINE__, #condition); \
  } while (false)

#define PHALANX_CHECK_OP_(a, op, b)                                                         \
  do {                                                                                      \
    const auto& phalanx_a_ = (a);                                                           \
    const auto& phalanx_b_ = (b);                                                           \
    if (!(phalanx_a_ op phalanx_b_)) [[unlikely]]                                           \
      ::phalanx::internal::CheckOpFailed(__FILE__, __LINE__, #a " " #op " " #b, phalanx_a_, \
                                         phalanx_b_);                                       \
  } while (false)

#define PHALANX_CHECK_EQ(a, b) PHALANX_CHECK_OP_(a, ==, b)
#define PHALANX_CHECK_NE(a, b) PHALANX_CHECK_OP_(a, !=, b)
#define PHALANX_CHECK_LT(a, b) PHALANX_CHECK_OP_(a, <, b)
#define PHALANX_CHECK_LE(a, b) PHALANX_CHECK_OP_(a, <=, b)
#define PHALANX_CHECK_GT(a, b) PHALANX_CHECK_OP_(a, >, b)
#define PHALANX_CHECK_GE(a, b) PHALANX_CHECK_OP_(a, >=, b)

#ifdef NDEBUG
#define PHALANX_DCHECK(condition) \
  do {                            \
  } while (false && (condition))
#else
#define PHALANX_DCHECK(condition) PHALANX_CHECK(condition)
#endif
