// phalanx chat: a conversation with history, or one message with --message.
#pragma once

#include <CLI/CLI.hpp>

#include "client/generate.h"

namespace phalanx {

void AddChat(CLI::App& app, Command& command);

}  // namespace phalanx
