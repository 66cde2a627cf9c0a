#pragma once

#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cstdint>
#include <stdexcept>

/// A TCP port of this host that nobody listens on now; `listening` keeps it taken as long as it lives.
class FreePort {
 public:
  explicit FreePort(bool listening = false) : socket_(socket(AF_INET, SOCK_STREAM, 0)) {
    sockaddr_in address = {};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_ANY);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    if (bind(socket_, any, size) != 0 || getsockname(socket_, any, &size) != 0)
      throw std::runtime_error("no free port");
    number = ntohs(address.sin_port);
    if (listening) {
      listen(socket_, 1);
    } else {
      close(socket_);
      socket_ = -1;
    }
  }
  FreePort(const FreePort&) = delete;
  ~FreePort() {
    if (socket_ >= 0) close(socket_);
  }

  std::uint16_t number = 0;

 private:
  int socket_;
};
