// What a report says, section by section.
#pragma once

#include "bench/report/document.h"
#include "bench/report/run_data.h"
#include "bench/report/summary.h"

namespace phalanx::report {

using Blocks = std::vector<Block>;

Document MakeDocument(const RunData& run, const Summary& summary);

// Verdict, failures, facts.
void AddVerdict(const RunData& run, const Summary& summary, Blocks& out);
void AddLimits(const RunData& run, Blocks& out);
void AddGoals(const Summary& summary, Blocks& out);
void AddCorrectness(const RunData& run, Blocks& out);
void AddOps(const RunData& run, Blocks& out);
void AddService(const RunData& run, Blocks& out);
void AddLoad(const RunData& run, Blocks& out);
void AddScaling(const RunData& run, Blocks& out);
void AddProfile(const RunData& run, Blocks& out);
void AddStages(const RunData& run, Blocks& out);

// How a stage went that a section is made of, where that must be said: always where the section has
// no figures.
enum class Figures { kPresent, kAbsent };
void AddStageState(const RunData& run, std::string_view stage, Figures figures, Blocks& out);

Cell StateCell(StageState state);
Table GoalsTable(const std::vector<Goal>& goals);
// Facts under the names that people use.
Pairs NamedFacts(const std::vector<std::pair<std::string, std::string>>& facts);

}  // namespace phalanx::report
