#include "levels/3_service/http_registrar.hpp"

#include <curl/curl.h>

#include <algorithm>
#include <array>

#include "levels/1_database/resolver.hpp"

namespace ratchet::service {

namespace {

using std::chrono::milliseconds;

constexpr std::size_t kMostAnswer = std::size_t{64} * 1024;
constexpr std::size_t kMostTold = 200;

std::string_view first_line(std::string_view text) {
  const std::size_t from = text.find_first_not_of(" \r\n\t");
  if (from == std::string_view::npos) return {};
  text.remove_prefix(from);
  return text.substr(0, std::min(text.find_first_of("\r\n"), kMostTold));
}

const char* name_of(HttpMethod method) noexcept {
  constexpr std::array<const char*, 5> kNames = {"GET", "PUT", "POST", "PATCH", "DELETE"};
  return kNames[static_cast<std::size_t>(method)];
}

// Everything that was filled in and must not be shown.
struct Filled {
  std::string url, body;
  std::vector<std::string> headers;
};

// libcurl's C handles, let go in their destructors.
struct Easy {
  CURL* handle = curl_easy_init();
  Easy() = default;
  Easy(const Easy&) = delete;
  Easy& operator=(const Easy&) = delete;
  ~Easy() { curl_easy_cleanup(handle); }
};
struct Multi {
  CURLM* handle = curl_multi_init();
  Multi() = default;
  Multi(const Multi&) = delete;
  Multi& operator=(const Multi&) = delete;
  ~Multi() { curl_multi_cleanup(handle); }
};
struct List {
  curl_slist* head = nullptr;
  List() = default;
  List(const List&) = delete;
  List& operator=(const List&) = delete;
  ~List() { curl_slist_free_all(head); }
  bool add(const std::string& line) {
    curl_slist* const longer = curl_slist_append(head, line.c_str());
    if (longer != nullptr) head = longer;
    return longer != nullptr;
  }
};
struct Url {
  CURLU* handle = curl_url();
  Url() = default;
  Url(const Url&) = delete;
  Url& operator=(const Url&) = delete;
  ~Url() { curl_url_cleanup(handle); }
  std::string part(CURLUPart which) const {
    char* text = nullptr;
    if (curl_url_get(handle, which, &text, CURLU_DEFAULT_PORT) != CURLUE_OK) return {};
    std::string out(text);
    curl_free(text);
    return out;
  }
};

std::size_t keep(char* data, std::size_t size, std::size_t n, void* to) {
  auto& answer = *static_cast<std::string*>(to);
  answer.append(data, std::min(size * n, kMostAnswer - std::min(kMostAnswer, answer.size())));
  return size * n;
}

}  // namespace

std::string filled(std::string_view phrase, const Fillings& fillings) {
  std::string out;
  while (!phrase.empty()) {
    const std::size_t open = std::min(phrase.find('{'), phrase.size());
    out += phrase.substr(0, open);
    phrase.remove_prefix(open);
    const std::size_t close = phrase.find('}');
    const auto found = close == std::string_view::npos ? fillings.end() : fillings.find(phrase.substr(1, close - 1));
    if (found != fillings.end()) {
      out += found->second;
      phrase.remove_prefix(close + 1);
    } else if (!phrase.empty()) {
      out += '{';
      phrase.remove_prefix(1);
    }
  }
  return out;
}

Told told_by(const RequestTemplate& request, long status, std::string_view answer) {
  const auto is_in = [status](const std::vector<int>& codes) {
    return std::find(codes.begin(), codes.end(), status) != codes.end();
  };
  const bool ok = request.ok.empty() ? status >= 200 && status < 300 : is_in(request.ok);
  if (ok || is_in(request.done)) return {};
  const bool again = status >= 500 || status == 408 || status == 429;
  std::string text = "HTTP status " + std::to_string(status);
  if (const auto line = first_line(answer); !line.empty()) text += ": " + std::string(line);
  return {again ? Told::Word::again : Told::Word::failed, text};
}

// One try. `tell` fills in, this speaks.
class HttpRegistrar::Client {
 public:
  Client() : ready_(curl_global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK) {}
  ~Client() {
    if (ready_) curl_global_cleanup();
  }
  Client(const Client&) = delete;
  Client& operator=(const Client&) = delete;

  Told speak(const RequestTemplate& request, const Filled& what, const std::string& ca_file, const TimeSource& time,
             Patience& patience) {
    Easy easy;
    Multi multi;
    List headers, addresses;
    if (!ready_ || easy.handle == nullptr || multi.handle == nullptr) return {Told::Word::again, "out of memory"};
    if (auto trouble = find_address(what.url, addresses, time, patience)) return *trouble;
    for (const std::string& line : what.headers)
      if (!headers.add(line)) return {Told::Word::again, "out of memory"};
    std::string answer;
    std::array<char, CURL_ERROR_SIZE> error{};
    CURL* const c = easy.handle;
    curl_easy_setopt(c, CURLOPT_URL, what.url.c_str());
    curl_easy_setopt(c, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(c, CURLOPT_CUSTOMREQUEST, name_of(request.method));
    if (request.method != HttpMethod::get || !what.body.empty()) {
      curl_easy_setopt(c, CURLOPT_POSTFIELDSIZE_LARGE, static_cast<curl_off_t>(what.body.size()));
      curl_easy_setopt(c, CURLOPT_POSTFIELDS, what.body.c_str());
    }
    curl_easy_setopt(c, CURLOPT_HTTPHEADER, headers.head);
    curl_easy_setopt(c, CURLOPT_RESOLVE, addresses.head);
    curl_easy_setopt(c, CURLOPT_PROXY, "");
    curl_easy_setopt(c, CURLOPT_NOSIGNAL, 1L);
    if (!ca_file.empty()) curl_easy_setopt(c, CURLOPT_CAINFO, ca_file.c_str());
    curl_easy_setopt(c, CURLOPT_WRITEFUNCTION, keep);
    curl_easy_setopt(c, CURLOPT_WRITEDATA, &answer);
    curl_easy_setopt(c, CURLOPT_ERRORBUFFER, error.data());
    curl_multi_add_handle(multi.handle, c);
    const auto code = run(multi.handle, time, patience);
    long status = 0;
    curl_easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status);
    curl_multi_remove_handle(multi.handle, c);
    if (!code) return {Told::Word::again, "no answer in time"};
    if (*code == CURLE_OK) return told_by(request, status, answer);
    const std::string text = error[0] != '\0' ? error.data() : curl_easy_strerror(*code);
    const bool certificate = *code == CURLE_PEER_FAILED_VERIFICATION || *code == CURLE_SSL_CACERT_BADFILE;
    return {certificate ? Told::Word::failed : Told::Word::again, text};
  }

 private:
  // The name by our own resolver, which has a deadline; libcurl's would keep us waiting for a dead one.
  std::optional<Told> find_address(const std::string& url, List& addresses, const TimeSource& time,
                                   Patience& patience) {
    Url parts;
    if (parts.handle == nullptr || curl_url_set(parts.handle, CURLUPART_URL, url.c_str(), 0) != CURLUE_OK)
      return Told{Told::Word::failed, "what was filled in makes no URL"};
    const std::string host = parts.part(CURLUPART_HOST);
    if (host.front() == '[' || db::is_numeric_address(host)) return std::nullopt;
    const auto found = resolver_.resolve(host, patience, time);
    if (!found) return Told{Told::Word::again, found.error().text};
    std::string line = host + ":" + parts.part(CURLUPART_PORT) + ":";
    for (const std::string& address : *found)
      line += (line.back() == ':' ? "" : ",") + address;
    if (!addresses.add(line)) return Told{Told::Word::again, "out of memory"};
    return std::nullopt;
  }

  // Empty: the patience was over first.
  static std::optional<CURLcode> run(CURLM* multi, const TimeSource& time, Patience& patience) {
    for (;;) {
      int running = 0;
      curl_multi_perform(multi, &running);
      int left = 0;
      if (const CURLMsg* message = curl_multi_info_read(multi, &left); message != nullptr) return message->data.result;
      const TimePoint now = time.now();
      if (patience.over(now)) return std::nullopt;
      const auto nap = std::chrono::ceil<milliseconds>(patience.nap(now) - now);
      curl_multi_poll(multi, nullptr, 0, static_cast<int>(nap.count()), nullptr);
    }
  }

  const bool ready_;
  db::Resolver resolver_;
};

HttpRegistrar::HttpRegistrar(const RegistrarSettings& settings, const std::string& instance, const TimeSource& time)
    : settings_(settings), instance_(instance), time_(time), client_(std::make_unique<Client>()) {}

HttpRegistrar::~HttpRegistrar() = default;

Told HttpRegistrar::tell(Verb verb, Leave, Patience& patience) {
  auto request = settings_.requests.find(std::string(to_string(verb)));
  if (request == settings_.requests.end() && verb == Verb::heartbeat) request = settings_.requests.find("register");
  if (request == settings_.requests.end()) return {};
  const bool here = verb == Verb::register_ || verb == Verb::heartbeat;
  Fillings fillings{{"host", settings_.address->host},
                    {"port", std::to_string(settings_.address->port)},
                    {"id", instance_},
                    {"level", here ? "3" : "2"}};
  for (const auto& [name, secret] : settings_.secrets) {
    Secret::Value value = secret.read();
    if (!value.error.empty()) return {Told::Word::again, "secret " + name + ": " + value.error};
    fillings.emplace("secret:" + name, std::move(value.text));
  }
  const RequestTemplate& phrases = request->second;
  Filled what{filled(phrases.url, fillings), filled(phrases.body, fillings), {}};
  for (const auto& [name, value] : phrases.headers)
    what.headers.push_back(name + ": " + filled(value, fillings));
  what.headers.emplace_back("Expect:");  // no pause before the body
  Told told = client_->speak(phrases, what, settings_.ca_file, time_, patience);
  // A registry may repeat what it was sent.
  for (const auto& [name, value] : fillings) {
    if (!name.starts_with("secret:") || value.empty()) continue;
    for (std::size_t at = told.text.find(value); at != std::string::npos; at = told.text.find(value, at))
      told.text.replace(at, value.size(), "***"), at += 3;
  }
  return told;
}

}  // namespace ratchet::service
