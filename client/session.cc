// Sessions, for threads that wait and for loops.
#include "cairn/session.h"

#include <utility>

#include "cairn/async_session.h"
#include "client/random_id.h"
#include "client/sequence.h"

namespace cairn {

CAIRN_ASYNC_RESULT(absl::StatusOr<std::optional<Sessions::Session>>);
CAIRN_ASYNC_RESULT(absl::StatusOr<std::string>);

namespace {

constexpr size_t kIdDigits = 32;
// Each try that fails is another request's that succeeded.
constexpr int kUpdateTries = 100;

using Options = Sessions::Options;
using Session = Sessions::Session;
using Created = Sequence<absl::StatusOr<std::string>>;
using Loaded = Sequence<absl::StatusOr<std::optional<Session>>>;
using Saved = Sequence<absl::StatusOr<CasOutcome>>;
using WhetherDone = Sequence<absl::StatusOr<bool>>;
/// What is to be stored; nothing when the application could not say.
using Change = std::function<absl::StatusOr<std::string>(std::string_view)>;

bool IsId(std::string_view text) {
  return text.size() == kIdDigits &&
         text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

std::string KeyOf(const Options& options, std::string_view id) {
  return options.prefix + std::string(id);
}

Created CreateSession(const Options& options, std::string_view data) {
  std::string id = RandomId();
  return Created::Ask(
      [key = KeyOf(options, id), data = std::string(data),
       write = StoredFor(options.call, options.ttl)](auto& client) {
        return client.Add(key, data, write);
      },
      [id](const absl::StatusOr<bool>& added) {
        if (!added.ok()) return Created::Over(added.status());
        if (!*added) {
          return Created::Over(absl::InternalError("a random id that there was already"));
        }
        return Created::Over(id);
      });
}

Loaded LoadSession(const Options& options, std::string_view id) {
  if (!IsId(id)) return Loaded::Over(std::nullopt);
  return Loaded::Ask([key = KeyOf(options, id), ttl = options.ttl, call = options.call](
                         auto& client) { return client.GetAndTouch(key, ttl, call); },
                     [](absl::StatusOr<std::optional<Item>> item) {
                       if (!item.ok()) return Loaded::Over(item.status());
                       if (!item->has_value()) return Loaded::Over(std::nullopt);
                       return Loaded::Over(Session{std::move((*item)->value), (*item)->cas});
                     });
}

Saved SaveSession(const Options& options, std::string_view id, std::string_view data,
                  uint64_t cas) {
  if (!IsId(id)) return Saved::Over(CasOutcome::kNotFound);
  return Saved::Ask([key = KeyOf(options, id), data = std::string(data), cas,
                     write = StoredFor(options.call, options.ttl)](
                        auto& client) { return client.CompareAndSwap(key, data, cas, write); },
                    [](const absl::StatusOr<CasOutcome>& outcome) { return Saved::Over(outcome); });
}

WhetherDone UpdateSession(const Options& options, const std::string& id, const Change& change,
                          int tries_left = kUpdateTries) {
  if (tries_left == 0) {
    return WhetherDone::Over(absl::AbortedError("others change the session all the time"));
  }
  return LoadSession(options, id).Then([=](const absl::StatusOr<std::optional<Session>>& session) {
    if (!session.ok()) return WhetherDone::Over(session.status());
    if (!session->has_value()) return WhetherDone::Over(false);
    const absl::StatusOr<std::string> changed = change((*session)->data);
    if (!changed.ok()) return WhetherDone::Over(changed.status());
    return SaveSession(options, id, *changed, (*session)->cas)
        .Then([=](const absl::StatusOr<CasOutcome>& saved) {
          if (!saved.ok()) return WhetherDone::Over(saved.status());
          if (*saved == CasOutcome::kStored) return WhetherDone::Over(true);
          if (*saved == CasOutcome::kNotFound) return WhetherDone::Over(false);
          return UpdateSession(options, id, change, tries_left - 1);
        });
  });
}

WhetherDone DestroySession(const Options& options, std::string_view id) {
  if (!IsId(id)) return WhetherDone::Over(false);
  return WhetherDone::Ask(
      [key = KeyOf(options, id), call = options.call](auto& client) {
        return client.Delete(key, call);
      },
      [](const absl::StatusOr<bool>& deleted) { return WhetherDone::Over(deleted); });
}

}  // namespace

Sessions::Sessions(Client* client, Options options)
    : client_(client), options_(std::move(options)) {}

absl::StatusOr<std::string> Sessions::Create(std::string_view data) {
  return Ran(*client_, CreateSession(options_, data));
}

absl::StatusOr<std::optional<Session>> Sessions::Load(std::string_view id) {
  return Ran(*client_, LoadSession(options_, id));
}

absl::StatusOr<CasOutcome> Sessions::Save(std::string_view id, std::string_view data,
                                          uint64_t cas) {
  return Ran(*client_, SaveSession(options_, id, data, cas));
}

absl::StatusOr<bool> Sessions::Update(std::string_view id,
                                      const std::function<std::string(std::string_view)>& change) {
  return Ran(*client_, UpdateSession(options_, std::string(id), change));
}

absl::StatusOr<bool> Sessions::Destroy(std::string_view id) {
  return Ran(*client_, DestroySession(options_, id));
}

AsyncSessions::AsyncSessions(AsyncClient* async, Options options)
    : async_(async), options_(std::move(options)) {}

AsyncResult<absl::StatusOr<std::string>> AsyncSessions::Create(std::string_view data) const {
  return Prepared(*async_, CreateSession(options_, data));
}

AsyncResult<absl::StatusOr<std::optional<Session>>> AsyncSessions::Load(std::string_view id) const {
  return Prepared(*async_, LoadSession(options_, id));
}

AsyncResult<absl::StatusOr<CasOutcome>> AsyncSessions::Save(std::string_view id,
                                                            std::string_view data,
                                                            uint64_t cas) const {
  return Prepared(*async_, SaveSession(options_, id, data, cas));
}

AsyncResult<absl::StatusOr<bool>> AsyncSessions::Update(
    std::string_view id, std::function<std::string(std::string_view)> change) const {
  // The loop's code is no place for an application's exceptions.
  const Change caught =
      [change = std::move(change)](std::string_view data) -> absl::StatusOr<std::string> {
    try {
      return change(data);
    } catch (...) {
      return absl::AbortedError("the change was left by an exception");
    }
  };
  return Prepared(*async_, UpdateSession(options_, std::string(id), caught));
}

AsyncResult<absl::StatusOr<bool>> AsyncSessions::Destroy(std::string_view id) const {
  return Prepared(*async_, DestroySession(options_, id));
}

}  // namespace cairn
