// The body of GET /metrics, in Prometheus' text format 0.0.4.
#pragma once

#include <atomic>
#include <chrono>
#include <memory>
#include <string>

#include "coordinator/core/dispatcher.h"
#include "coordinator/core/request_observer.h"

namespace phalanx::metrics {

class RequestMetrics;

enum class MetricsNames {
  kOwn,
  kOwnAndVllm,  // --metrics-compat=vllm
};

// Thread-safe.
class MetricsPage {
 public:
  // `model_name`: of the label that every figure of the service carries.
  MetricsPage(std::string model_name, MetricsNames names);

  // What the request path is to tell.
  std::shared_ptr<RequestObserver> observer() const;
  // From then on the page says when the server's certificate expires. Any thread.
  void SetCertificateExpiry(std::chrono::system_clock::time_point expiry);
  std::string Render(const Dispatcher::Snapshot& snapshot) const;

 private:
  const std::string model_name_;
  const MetricsNames names_;
  const std::shared_ptr<RequestMetrics> requests_;
  std::atomic<int64_t> certificate_expiry_s_ = 0;  // since 1970; 0: there is none
};

}  // namespace phalanx::metrics
