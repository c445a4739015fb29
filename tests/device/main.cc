#include "tests/device/device_under_test.h"

int main(int argc, char** argv) { return phalanx::testing::RunDeviceTests(argc, argv); }
