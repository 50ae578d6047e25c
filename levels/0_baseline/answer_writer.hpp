// Answers as bytes. The Date is worked out once a second.
#pragma once

#include <array>
#include <string>
#include <string_view>

#include "levels/0_baseline/reactor.hpp"
#include "levels/core/clock.hpp"

namespace ratchet::http {

// "Accepted" for 202; empty for a status without a name.
std::string_view reason_phrase(int status) noexcept;

class AnswerWriter {
 public:
  struct Shape {
    bool head_only = false;   // the answer to a HEAD: everything but the body
    bool close = false;       // Connection: close
    bool keep_alive = false;  // Connection: keep-alive, which HTTP/1.0 wants to hear
  };

  // The time that answers written from now on carry.
  void set_time(WallTime now) noexcept;

  // Appends the whole answer: status line, headers, body.
  void write(std::string& out, const Answer& answer, Shape shape) const;

 private:
  std::int64_t second_ = -1;
  std::array<char, 37> date_{};  // "Date: Sun, 06 Nov 1994 08:49:37 GMT\r\n"
};

}  // namespace ratchet::http
