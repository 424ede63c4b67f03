#pragma once

#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>

#include <cstdio>
#include <memory>
#include <string>

namespace cairn::server {

/// What a certificate says besides its name.
struct CertificateTerms {
  /// For which hosts, e.g. "DNS:localhost,IP:127.0.0.1"; empty: it does not say.
  std::string alternatives;
  long valid_from_s = -3600;  ///< From now.
  long valid_to_s = 3600L * 24 * 365;
  bool is_authority = false;  ///< It may sign others.
};

/// A key and a certificate: self-signed, so that it is its own authority, or signed by another.
class Certificate {
 public:
  explicit Certificate(const std::string& name, const CertificateTerms& terms = {},
                       const Certificate* issuer = nullptr)
      : key_(NewKey()), certificate_(X509_new()) {
    X509* const x = certificate_.get();
    X509_set_version(x, 2);
    static long serial = 0;
    ASN1_INTEGER_set(X509_get_serialNumber(x), ++serial);
    X509_gmtime_adj(X509_getm_notBefore(x), terms.valid_from_s);
    X509_gmtime_adj(X509_getm_notAfter(x), terms.valid_to_s);
    X509_set_pubkey(x, key_.get());
    X509_NAME* const subject = X509_get_subject_name(x);
    X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC,
                               reinterpret_cast<const unsigned char*>(name.c_str()), -1, -1, 0);
    const Certificate* const signer = issuer == nullptr ? this : issuer;
    X509_set_issuer_name(x, X509_get_subject_name(signer->certificate()));
    if (!terms.alternatives.empty()) Extend(NID_subject_alt_name, terms.alternatives.c_str());
    if (terms.is_authority) Extend(NID_basic_constraints, "critical,CA:TRUE");
    X509_sign(x, signer->key(), EVP_sha256());
  }

  EVP_PKEY* key() const { return key_.get(); }
  X509* certificate() const { return certificate_.get(); }

  void WriteCertificate(const std::string& path) const {
    const File file(std::fopen(path.c_str(), "w"), &std::fclose);
    PEM_write_X509(file.get(), certificate_.get());
  }
  void WriteKey(const std::string& path) const {
    const File file(std::fopen(path.c_str(), "w"), &std::fclose);
    PEM_write_PrivateKey(file.get(), key_.get(), nullptr, nullptr, 0, nullptr, nullptr);
  }

 private:
  using File = std::unique_ptr<std::FILE, int (*)(std::FILE*)>;
  struct Free {
    void operator()(EVP_PKEY* key) const { EVP_PKEY_free(key); }
    void operator()(EVP_PKEY_CTX* context) const { EVP_PKEY_CTX_free(context); }
    void operator()(X509* certificate) const { X509_free(certificate); }
  };

  void Extend(int what, const char* value) {
    X509_EXTENSION* const extension = X509V3_EXT_conf_nid(nullptr, nullptr, what, value);
    X509_add_ext(certificate_.get(), extension, -1);
    X509_EXTENSION_free(extension);
  }
  static EVP_PKEY* NewKey() {
    const std::unique_ptr<EVP_PKEY_CTX, Free> context(EVP_PKEY_CTX_new_id(EVP_PKEY_EC, nullptr));
    EVP_PKEY* key = nullptr;
    EVP_PKEY_keygen_init(context.get());
    EVP_PKEY_CTX_set_ec_paramgen_curve_nid(context.get(), NID_X9_62_prime256v1);
    EVP_PKEY_keygen(context.get(), &key);
    return key;
  }

  std::unique_ptr<EVP_PKEY, Free> key_;
  std::unique_ptr<X509, Free> certificate_;
};

}  // namespace cairn::server
