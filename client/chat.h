// phalanx chat: a conversation with history, or one message with --message.
#pragma once

#include "client/generate.h"

namespace CLI {
class App;
}

namespace phalanx {

void AddChat(CLI::App& app, Command& command);

}  // namespace phalanx
