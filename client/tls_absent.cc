// In place of tls.cc in builds without OpenSSL.
#include "client/tls.h"

namespace cairn {

absl::StatusOr<std::unique_ptr<TlsContext>> TlsContext::Make(const TlsOptions&) {
  return absl::UnimplementedError("tls: this libcairn was built without it (CAIRN_CLIENT_TLS)");
}
TlsContext::~TlsContext() = default;
std::unique_ptr<TlsStream> TlsContext::NewStream(int, const std::string&) const { return nullptr; }

TlsStream::~TlsStream() = default;
void TlsStream::Free::operator()(ssl_st*) const {}
ssize_t TlsStream::Handshake() { return -1; }
ssize_t TlsStream::Receive(char*, size_t) { return -1; }
ssize_t TlsStream::Send(const iovec*, size_t) { return -1; }
ssize_t TlsStream::Peek() { return -1; }
bool TlsStream::holds_input() const { return false; }
bool TlsStream::drained() const { return true; }

}  // namespace cairn
