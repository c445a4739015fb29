#include "coordinator/metrics/metrics_page.h"

#include <prometheus/text_serializer.h>

#include <utility>

#include "coordinator/metrics/engine_metrics.h"
#include "coordinator/metrics/request_metrics.h"
#include "coordinator/metrics/vllm_names.h"

namespace phalanx::metrics {

MetricsPage::MetricsPage(std::string model_name, MetricsNames names)
    : model_name_(std::move(model_name)),
      names_(names),
      requests_(std::make_shared<RequestMetrics>()) {}

std::shared_ptr<RequestObserver> MetricsPage::observer() const { return requests_; }

void MetricsPage::SetCertificateExpiry(std::chrono::system_clock::time_point expiry) {
  certificate_expiry_s_ = std::chrono::system_clock::to_time_t(expiry);
}

std::string MetricsPage::Render(const Dispatcher::Snapshot& snapshot) const {
  Families families;
  requests_->AppendTo(&families);
  AppendEngine(snapshot, &families);
  if (names_ == MetricsNames::kOwnAndVllm) AppendVllmNames(&families);
  for (prometheus::MetricFamily& family : families) {
    for (prometheus::ClientMetric& metric : family.metric) {
      metric.label.insert(metric.label.begin(), {"model_name", model_name_});
    }
  }
  families
      .emplace_back(MakeFamily("phalanx_build_info", "The version, as a label.",
                               prometheus::MetricType::Gauge))
      .metric.push_back(MakeGauge(1, {{"version", PHALANX_VERSION}}));
  if (const int64_t expiry_s = certificate_expiry_s_; expiry_s != 0) {
    families
        .emplace_back(MakeFamily("phalanx_tls_certificate_expiry_timestamp_seconds",
                                 "When the server's certificate expires, since 1970.",
                                 prometheus::MetricType::Gauge))
        .metric.push_back(MakeGauge(static_cast<double>(expiry_s)));
  }
  AppendProcess(&families);
  return prometheus::TextSerializer().Serialize(families);
}

}  // namespace phalanx::metrics
