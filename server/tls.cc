#include "server/tls.h"

#include <openssl/err.h>

#include <chrono>
#include <string>
#include <string_view>
#include <utility>

#include "fmt/format.h"

namespace cairn::server {
namespace {

constexpr std::string_view kSessionIdContext = "memcached";
// Where a context finds the counters it counts in.
int OwnerIndex() {
  static const int index = SSL_CTX_get_ex_new_index(0, nullptr, nullptr, nullptr, nullptr);
  return index;
}

// The first error of this thread's queue, which is emptied.
std::string TakeSslError() {
  const unsigned long code = ERR_get_error();
  ERR_clear_error();
  if (code == 0) return "no reason given";
  char text[256];
  ERR_error_string_n(code, text, sizeof text);
  return text;
}

absl::Status Failure(std::string_view what) {
  return absl::InvalidArgumentError(std::string(what));
}

int MinVersion(SslMinVersion version) {
  constexpr int kVersions[] = {TLS1_VERSION, TLS1_1_VERSION, TLS1_2_VERSION, TLS1_3_VERSION};
  return kVersions[static_cast<size_t>(version)];
}

int VerifyFlags(SslVerifyMode mode, ListenTls listener) {
  if (listener == ListenTls::kBasic) return SSL_VERIFY_NONE;
  constexpr int kRequire = SSL_VERIFY_PEER | SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
  if (listener == ListenTls::kMutual) return kRequire;
  constexpr int kFlags[] = {SSL_VERIFY_NONE, SSL_VERIFY_PEER, kRequire,
                            kRequire | SSL_VERIFY_CLIENT_ONCE};
  return kFlags[static_cast<size_t>(mode)];
}

int64_t SteadySeconds() {
  return std::chrono::duration_cast<std::chrono::seconds>(
             std::chrono::steady_clock::now().time_since_epoch())
      .count();
}

absl::Status LoadCertificates(SSL_CTX* context, const Settings& settings) {
  const std::string& chain = settings.ssl_chain_cert;
  const std::string& key = settings.ssl_key;
  if (SSL_CTX_use_certificate_chain_file(context, chain.c_str()) != 1) {
    return Failure(fmt::format("Error loading the certificate chain: {} : {}",
                               chain.empty() ? "(null)" : chain, TakeSslError()));
  }
  if (SSL_CTX_use_PrivateKey_file(context, key.c_str(), settings.ssl_keyformat) != 1) {
    return Failure(fmt::format("Error loading the key: {} : {}", key.empty() ? "(null)" : key,
                               TakeSslError()));
  }
  if (SSL_CTX_check_private_key(context) != 1) {
    return Failure(fmt::format("Error validating the certificate: {}", TakeSslError()));
  }
  if (settings.ssl_ca_cert.empty()) return absl::OkStatus();
  const char* const authorities = settings.ssl_ca_cert.c_str();
  STACK_OF(X509_NAME)* names = nullptr;
  if (SSL_CTX_load_verify_locations(context, authorities, nullptr) != 1 ||
      (names = SSL_load_client_CA_file(authorities)) == nullptr) {
    return Failure(
        fmt::format("Error loading the CA certificate: {} : {}", authorities, TakeSslError()));
  }
  SSL_CTX_set_client_CA_list(context, names);
  return absl::OkStatus();
}

}  // namespace

int TlsContexts::CountSession(SSL* ssl, SSL_SESSION*) {
  auto* owner = static_cast<TlsContexts*>(SSL_CTX_get_ex_data(SSL_get_SSL_CTX(ssl), OwnerIndex()));
  owner->new_sessions_.fetch_add(1, std::memory_order_relaxed);
  return 0;  // the session is not kept here
}

absl::StatusOr<TlsContexts::Context> TlsContexts::NewContext(ListenTls mode) {
  Context context(SSL_CTX_new(TLS_server_method()));
  if (context == nullptr) return Failure(TakeSslError());
  SSL_CTX* const raw = context.get();
  SSL_CTX_set_min_proto_version(raw, MinVersion(settings_.ssl_min_version));
  if (absl::Status status = LoadCertificates(raw, settings_); !status.ok()) return status;
  SSL_CTX_set_verify(raw, VerifyFlags(settings_.ssl_verify_mode, mode), nullptr);
  if (!settings_.ssl_ciphers.empty() &&
      SSL_CTX_set_cipher_list(raw, settings_.ssl_ciphers.c_str()) != 1) {
    ERR_clear_error();
    return Failure(fmt::format("Error setting the provided cipher(s): {}", settings_.ssl_ciphers));
  }
  // Clients get tickets even without a cache, and without a context OpenSSL turns those away that
  // come back with one, if it is to look at their certificates.
  SSL_CTX_set_session_id_context(raw,
                                 reinterpret_cast<const unsigned char*>(kSessionIdContext.data()),
                                 static_cast<unsigned>(kSessionIdContext.size()));
  if (settings_.ssl_session_cache) {
    SSL_CTX_set_ex_data(raw, OwnerIndex(), this);
    SSL_CTX_sess_set_new_cb(raw, &CountSession);
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_SERVER);
  } else {
    SSL_CTX_set_session_cache_mode(raw, SSL_SESS_CACHE_OFF);
  }
  if (settings_.ssl_kernel_tls) {
#ifdef SSL_OP_ENABLE_KTLS
    SSL_CTX_set_options(raw, SSL_OP_ENABLE_KTLS);
#else
    return Failure("Kernel TLS offload is not available");
#endif
  }
  SSL_CTX_set_options(raw, SSL_OP_NO_RENEGOTIATION);
#ifdef SSL_OP_IGNORE_UNEXPECTED_EOF
  // Clients that just close are no error: requests say where they end.
  SSL_CTX_set_options(raw, SSL_OP_IGNORE_UNEXPECTED_EOF);
#endif
  SSL_CTX_set_mode(raw, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                            SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
  return context;
}

TlsContexts::TlsContexts(const Settings& settings) : settings_(settings) {}
TlsContexts::~TlsContexts() = default;

absl::Status TlsContexts::Load() {
  Context made[3];
  for (const ListenTls mode : {ListenTls::kDefault, ListenTls::kBasic, ListenTls::kMutual}) {
    absl::StatusOr<Context> context = NewContext(mode);
    if (!context.ok()) return context.status();
    made[mode == ListenTls::kDefault ? 0 : mode == ListenTls::kBasic ? 1 : 2] = *std::move(context);
  }
  {
    const absl::MutexLock lock(&mutex_);
    std::swap(default_, made[0]);
    std::swap(basic_, made[1]);
    std::swap(mutual_, made[2]);
  }
  refreshed_at_s_.store(SteadySeconds(), std::memory_order_relaxed);
  return absl::OkStatus();  // connections hold references to the old ones
}

absl::StatusOr<std::unique_ptr<TlsContexts>> TlsContexts::Make(const Settings& settings) {
  std::unique_ptr<TlsContexts> contexts(new TlsContexts(settings));
  if (absl::Status status = contexts->Load(); !status.ok()) return status;
  return contexts;
}

SSL* TlsContexts::NewSsl(ListenTls mode) {
  const absl::MutexLock lock(&mutex_);
  SSL_CTX* context = default_.get();
  if (mode == ListenTls::kBasic) context = basic_.get();
  if (mode == ListenTls::kMutual) context = mutual_.get();
  return SSL_new(context);
}

bool TlsContexts::Reload(std::string* error) {
  const absl::Status status = Load();
  if (!status.ok()) *error = std::string(status.message());
  return status.ok();
}

uint64_t TlsContexts::SecondsSinceRefresh() const {
  const int64_t seconds = SteadySeconds() - refreshed_at_s_.load(std::memory_order_relaxed);
  return seconds > 0 ? static_cast<uint64_t>(seconds) : 0;
}

}  // namespace cairn::server
