// Requests as the reactor would hand them over, made from text.
#pragma once

#include <initializer_list>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "levels/0_baseline/reactor.hpp"

namespace ratchet::tests {

// One request: its bytes, and the head that points into them.
class MadeRequest {
 public:
  MadeRequest(const std::string& target, std::initializer_list<std::string_view> header_lines, std::string body = "{}")
      : MadeRequest(target, std::vector<std::string_view>(header_lines), std::move(body)) {}
  MadeRequest(const std::string& target, const std::vector<std::string_view>& header_lines, std::string body = "{}")
      : body_(std::move(body)) {
    text_ = "POST " + target + " HTTP/1.1\r\nHost: test\r\nContent-Length: " + std::to_string(body_.size()) + "\r\n";
    for (const auto line : header_lines)
      text_.append(line).append("\r\n");
    text_ += "\r\n";
    http::Refusal refusal;
    if (http::scan(text_, HttpLimits{}, head_, refusal) != http::Scan::complete) {
      throw std::runtime_error("not a request: " + std::string(refusal.detail));
    }
  }
  MadeRequest(const MadeRequest&) = delete;
  MadeRequest& operator=(const MadeRequest&) = delete;

  const http::Head& head() const noexcept { return head_; }
  http::Request request() const { return {head_, body_, {}, {}, "127.0.0.1"}; }

 private:
  std::string text_, body_;
  http::Head head_;
};

}  // namespace ratchet::tests
