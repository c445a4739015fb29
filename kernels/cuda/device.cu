// What both machines' devices have in common. On the host alone.
#include "kernels/cuda/device.h"

namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE {

StatusOr<void*> Device::Allocate(size_t bytes, std::string_view name) {
  PHALANX_ASSIGN_OR_RETURN(void* const p, TakeDevice(bytes, name));
  ledger_.Add(p, bytes, name, MemoryUse::Where::kDevice);
  return p;
}

void Device::Free(void* p) {
  if (p == nullptr) return;
  ledger_.Remove(p);
  ReturnDevice(p);
}

StatusOr<void*> Device::AllocateHost(size_t bytes, std::string_view name) {
  PHALANX_ASSIGN_OR_RETURN(void* const p, TakeHost(bytes, name));
  ledger_.Add(p, bytes, name, MemoryUse::Where::kPinnedHost);
  return p;
}

void Device::FreeHost(void* p) {
  if (p == nullptr) return;
  ledger_.Remove(p);
  ReturnHost(p);
}

StatusOr<std::vector<void*>> Device::AllocateParts(const MemoryPlan& plan) {
  PHALANX_RETURN_IF_ERROR(plan.CheckFits(FreeBytes()));
  std::vector<void*> places;
  if (parts() == Parts::kApart) {
    for (const MemoryPlan::Part& part : plan.parts()) {
      StatusOr<void*> place = Allocate(part.bytes, part.name);
      if (!place.ok()) {
        for (void* const p : places) Free(p);
        return place.status();
      }
      places.push_back(*place);
      *part.place = *place;
    }
    return places;
  }
  PHALANX_ASSIGN_OR_RETURN(void* const block, TakeDevice(plan.block_bytes(), "a step's memory"));
  plan.PlaceIn(block);
  for (const MemoryPlan::Part& part : plan.parts()) {
    places.push_back(*part.place);
    ledger_.Add(*part.place, part.bytes, part.name, MemoryUse::Where::kDevice);
  }
  return places;
}

void Device::FreeParts(const std::vector<void*>& places) {
  if (places.empty()) return;
  for (void* const p : places) ledger_.Remove(p);
  if (parts() == Parts::kTogether) return ReturnDevice(places.front());
  for (void* const p : places) ReturnDevice(p);
}

}  // namespace phalanx::cuda::PHALANX_CUDA_NAMESPACE
