#pragma once

#include <initializer_list>
#include <string_view>
#include <vector>

#include "server/option_rows.h"

/// How the tables of rows are put together.
namespace cairn::server {

// The parts of SuboptionRows() that have files of their own.
void AddBackgroundRows(std::vector<OptionRow>* rows);
void AddTlsRows(std::vector<OptionRow>* rows);
void AddExternalRows(std::vector<OptionRow>* rows);
void AddProxyRows(std::vector<OptionRow>* rows);
void AddLegacyRows(std::vector<OptionRow>* rows);

/// Appends rows of one group.
void AppendRows(std::vector<OptionRow>* rows, OptionGroup group,
                std::initializer_list<OptionRow> added);

/// Appends rows that have no effect, all for the same reason.
void AppendRows(std::vector<OptionRow>* rows, OptionGroup group, std::string_view why,
                std::initializer_list<OptionRow> added);

}  // namespace cairn::server
