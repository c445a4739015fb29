// A module whose only purpose is to bring gRPC's reflection library with it: that library registers
// itself as it is loaded, so nothing may link it.
#include <grpcpp/ext/proto_server_reflection_plugin.h>

extern "C" void PhalanxUseReflection() {
  grpc::reflection::InitProtoReflectionServerBuilderPlugin();
}
