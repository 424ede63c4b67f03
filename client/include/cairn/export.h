#pragma once

/// What a shared libcairn shows of itself; the rest of it is hidden.
#define CAIRN_EXPORT [[gnu::visibility("default")]]
/// Private parts of classes that are shown.
#define CAIRN_HIDDEN [[gnu::visibility("hidden")]]
