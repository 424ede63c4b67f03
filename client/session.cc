#include "cairn/session.h"

#include <utility>

#include "client/random_id.h"

namespace cairn {
namespace {

constexpr size_t kIdDigits = 32;
// Each try that fails is another request's that succeeded.
constexpr int kUpdateTries = 100;

bool IsId(std::string_view text) {
  return text.size() == kIdDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

}  // namespace

Sessions::Sessions(Client* client, Options options)
    : client_(client), options_(std::move(options)) {}

absl::StatusOr<std::string> Sessions::Create(std::string_view data) {
  std::string id = RandomId();
  WriteOptions write;
  write.ttl = options_.ttl;
  write.timeout = options_.call.timeout;
  const absl::StatusOr<bool> added = client_->Add(options_.prefix + id, data, write);
  if (!added.ok()) return added.status();
  if (!*added) return absl::InternalError("a random id that there was already");
  return id;
}

absl::StatusOr<std::optional<Sessions::Session>> Sessions::Load(std::string_view id) {
  if (!IsId(id)) return std::optional<Session>();
  absl::StatusOr<std::optional<Item>> item =
      client_->GetAndTouch(options_.prefix + std::string(id), options_.ttl, options_.call);
  if (!item.ok()) return item.status();
  if (!item->has_value()) return std::optional<Session>();
  return Session{std::move((*item)->value), (*item)->cas};
}

absl::StatusOr<CasOutcome> Sessions::Save(std::string_view id, std::string_view data,
                                          uint64_t cas) {
  if (!IsId(id)) return CasOutcome::kNotFound;
  WriteOptions write;
  write.ttl = options_.ttl;
  write.timeout = options_.call.timeout;
  return client_->CompareAndSwap(options_.prefix + std::string(id), data, cas, write);
}

absl::StatusOr<bool> Sessions::Update(std::string_view id,
                                      const std::function<std::string(std::string_view)>& change) {
  for (int i = 0; i < kUpdateTries; ++i) {
    const absl::StatusOr<std::optional<Session>> session = Load(id);
    if (!session.ok()) return session.status();
    if (!session->has_value()) return false;
    const absl::StatusOr<CasOutcome> saved = Save(id, change((*session)->data), (*session)->cas);
    if (!saved.ok()) return saved.status();
    if (*saved == CasOutcome::kStored) return true;
    if (*saved == CasOutcome::kNotFound) return false;
  }
  return absl::AbortedError("others change the session all the time");
}

absl::StatusOr<bool> Sessions::Destroy(std::string_view id) {
  if (!IsId(id)) return false;
  return client_->Delete(options_.prefix + std::string(id), options_.call);
}

}  // namespace cairn
