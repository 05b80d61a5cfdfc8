// Copyright (c) The nomad-driver-harn authors
// SPDX-License-Identifier: MPL-2.0

package driver

// What is easily wrong in a driver, and the tests that fail if it is.
//
// The start of a task, and what is kept of it:
//   - A restart has a new ID in the directories and the cgroup of the one
//     before, whose records must not be taken for its own: TestRestart,
//     TestRestartAroundAgentRestart (e2e), TestRecordsDirIsOneComponent.
//   - Half of the configuration does not cross to the plugin again after a
//     restart of the agent: TestAgentRestarted (e2e), TestRecover.
//   - Environment and tokens are in Nomad's state once, and not in the driver's:
//     TestTokensAreNotKept.
//   - Errors that the job's author must mend are not tried again:
//     TestRefusedTasksAreNotRetried, TestBadInput and TestBadOptions (e2e).
//   - A plugin that dies during a start is asked for the same start again:
//     TestStartTwice, TestStartWaitsForTheOneBefore, TestFaults (e2e).
//
// Waiting, stopping, destroying:
//   - A task is waited for several times, and each gets one result: TestLifecycle.
//   - Unknown tasks: stopping and destroying one is no error, asking for one is,
//     and its stats do not block: TestUnknownTask.
//   - What the first process leaves running ends by DestroyTask, also of a task
//     that was not recovered: TestDestroyUnrecovered, TestStrayIsReplaced.
//   - No lock is held while a task takes its time to end: TestStopHoldsNobodyUp.
//   - kill_timeout, kill_signal: TestStop, TestStop and TestSignal (e2e).
//
// The ends of plugin, agent, supervisor and host:
//   - Tasks outlive the plugin, with exit code and time of start:
//     TestPluginKilled (e2e), TestRecover, TestAttach (executor).
//   - Supervisors do not die of pipes and signals of the agent:
//     TestSupervisorSurvivesSignals, TestSignalsDuringAStart (executor).
//   - A recovery that fails leaves nothing running: TestAttachToWhatIsLost
//     (executor), TestDestroyUnrecovered.
//   - A process ID may be another process's by now: TestAttachToWhatIsLost
//     (executor); after a boot, TestRecoverAfterBoot, TestFaultReboot (e2e).
//   - What the agent has (session, limits, umask, oom_score_adj, which systemd
//     units set) is not the task's: TestTasksInheritLittleOfTheAgent. The unit
//     of a client needs KillMode=process all the same, or systemd ends its tasks.
//
// cgroups and stats:
//   - The client makes some on v1 and one on v2, or none, and says so by the
//     path of one: TestV1Parent, TestResources, TestResources (e2e, both versions).
//   - The driver's own processes are not charged to the task:
//     TestOnlyTheTaskIsCharged, TestResources (e2e).
//   - Running out of memory is told apart from a kill: TestOutOfMemory (e2e).
//   - Stats have many readers and a first sample that means something:
//     TestStatsHaveManyReaders, TestStats, TestStatsAgree (e2e).
//   - Stats of idle tasks cost next to nothing, by samples that are taken together, readings
//     that stand and reports that are encoded once: TestStatsAreReportedTogether,
//     TestUsageStands, TestReportsOfTheSame, TestReportsAreSentAsNomadDoes, TestServedStats.
//
// Users and directories:
//   - Nomad names a dynamic user once, and not after a restart of the agent:
//     TestLookupUser, TestRestartAroundAgentRestart (e2e).
//   - Tasks cannot use host paths of Nomad's directories, but those that the
//     client mounts for them: TestFindTaskDirsBelievesOnlyTheClient,
//     TestEnvironmentAndDirectories (e2e).
//   - Log FIFOs are opened without following links, and no copy is kept that
//     delays their end: TestOpenLog, TestLogs (e2e).
//
// What users' commands need:
//   - exec: user, environment, cgroup, namespaces, confinement, size of the
//     terminal, exit code, the end with its context: TestExecTask,
//     TestExecConformance, TestSessions (executor), TestExec, TestManySessions (e2e).
//   - Script checks and templates: TestScriptCheckAndStats, TestTemplateScript (e2e).
//   - Signals by name, with and without SIG, and an error for others:
//     TestParseSignal, TestSignal.
//   - A group's network and its DNS: TestNetwork (executor), TestBridge (e2e), TestDNS.
//
// Errors that others made:
//   - An exit status of an earlier run in the same allocation:
//     TestRestartAroundAgentRestart (e2e).
//   - Signals that end a wrapper, and not the task: TestSupervisorSurvivesSignals.
//   - An error of the start that is taken for an exit code:
//     TestStartErrorsSayWhatToDo (executor).
//   - Variables that are empty: TestTaskEnvironment.
//   - Orphans that nobody waits for: TestOnlyTheTaskIsCharged.
