#include "levels/0_baseline/answer_writer.hpp"

#include <charconv>
#include <cstring>
#include <ctime>

namespace ratchet::http {
namespace {

void append_number(std::string& out, std::size_t number) {
  std::array<char, 20> digits{};
  const auto end = std::to_chars(digits.data(), digits.data() + digits.size(), number).ptr;
  out.append(digits.data(), static_cast<std::size_t>(end - digits.data()));
}

void two_digits(char* at, int number) noexcept {
  at[0] = static_cast<char>('0' + number / 10);
  at[1] = static_cast<char>('0' + number % 10);
}

}  // namespace

std::string_view reason_phrase(int status) noexcept {
  switch (status) {
    case 200: return "OK";
    case 201: return "Created";
    case 202: return "Accepted";
    case 204: return "No Content";
    case 304: return "Not Modified";
    case 400: return "Bad Request";
    case 401: return "Unauthorized";
    case 403: return "Forbidden";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    case 408: return "Request Timeout";
    case 409: return "Conflict";
    case 411: return "Length Required";
    case 413: return "Content Too Large";
    case 414: return "URI Too Long";
    case 415: return "Unsupported Media Type";
    case 417: return "Expectation Failed";
    case 422: return "Unprocessable Content";
    case 429: return "Too Many Requests";
    case 431: return "Request Header Fields Too Large";
    case 500: return "Internal Server Error";
    case 501: return "Not Implemented";
    case 503: return "Service Unavailable";
    case 504: return "Gateway Timeout";
    case 505: return "HTTP Version Not Supported";
    default: return "";
  }
}

void AnswerWriter::set_time(WallTime now) noexcept {
  const std::time_t second = std::chrono::system_clock::to_time_t(now);
  if (second == second_) return;
  std::tm parts{};
  if (gmtime_r(&second, &parts) == nullptr || parts.tm_year < 0 || parts.tm_year > 8099) return;
  second_ = second;
  constexpr std::string_view kDays = "SunMonTueWedThuFriSat";
  constexpr std::string_view kMonths = "JanFebMarAprMayJunJulAugSepOctNovDec";
  const int year = parts.tm_year + 1900;
  std::memcpy(date_.data(), "Date: ddd, dd mmm yyyy hh:mm:ss GMT\r\n", date_.size());
  std::memcpy(&date_[6], &kDays[static_cast<std::size_t>(parts.tm_wday) * 3], 3);
  two_digits(&date_[11], parts.tm_mday);
  std::memcpy(&date_[14], &kMonths[static_cast<std::size_t>(parts.tm_mon) * 3], 3);
  two_digits(&date_[18], year / 100);
  two_digits(&date_[20], year % 100);
  two_digits(&date_[23], parts.tm_hour);
  two_digits(&date_[26], parts.tm_min);
  two_digits(&date_[29], parts.tm_sec);
}

void AnswerWriter::write(std::string& out, const Answer& answer, Shape shape) const {
  const bool bodiless = answer.status == 204 || answer.status == 304;  // these never have a body, nor its length
  out += "HTTP/1.1 ";
  append_number(out, static_cast<std::size_t>(answer.status));
  out += ' ';
  out += reason_phrase(answer.status);
  out += "\r\n";
  if (second_ >= 0) out.append(date_.data(), date_.size());
  if (!bodiless) {
    if (!answer.content_type.empty()) {
      out += "Content-Type: ";
      out += answer.content_type;
      out += "\r\n";
    }
    out += "Content-Length: ";
    append_number(out, answer.body.size());
    out += "\r\n";
  }
  out += answer.extra_headers;
  if (shape.close) out += "Connection: close\r\n";
  if (shape.keep_alive) out += "Connection: keep-alive\r\n";
  out += "\r\n";
  if (!bodiless && !shape.head_only) out += answer.body;
}

}  // namespace ratchet::http
