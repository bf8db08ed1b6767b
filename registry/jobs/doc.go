// Package jobs brings a document to many things and follows what becomes of it
// on each: the jobs of AWS IoT.
//
//	svc, err := jobs.New(store, reg, nil)
//	go svc.Run(ctx)
//
//	_, err = svc.CreateJob(ctx, jobs.Job{ID: "update-7", Targets: []string{reg.ARN("thinggroup/lamps")},
//		Document: `{"operation":"update","version":7}`})
//
//	e, err := svc.StartNext(ctx, "lamp-7", jobs.Start{})                             // the device begins
//	_, err = svc.Update(ctx, "lamp-7", e.Job, jobs.Update{Status: jobs.Succeeded}) // and is done
//
// # Jobs and executions
//
// A job names things and groups; on each thing it is an execution, QUEUED at
// first. The device takes it to IN_PROGRESS, SUCCEEDED, FAILED or REJECTED; the
// service to TIMED_OUT, CANCELED, REMOVED. A snapshot job is for the things that
// its targets mean when it begins, and completed when none of their executions
// is pending. A continuous job is also for those that join later, until it is
// canceled.
//
// Execution.Number counts the attempts on a thing: a retry, or a thing that left
// and came back, gets a new one, and the earlier ones can still be described.
// Lists and counts are of the present ones. Details are replaced as a whole.
//
// # Choices where AWS is silent
//
// A job without a rollout configuration goes out as fast as the store takes it.
// A rate holds for each minute counted from the first thing, and its things are
// spread over the minute. The targets of a scheduled job are resolved when it
// starts. Abort criteria look at things whose execution ended in SUCCEEDED,
// FAILED, REJECTED or TIMED_OUT with no retry left. Minutes that a Run was not
// there are not made up for. Executions of a namespace are in a list of their
// own; by the ID of its job one is found on the topics without it too.
//
// # Run
//
// CreateJob, CancelJob and DeleteJob do the first thousand things themselves;
// the rest, rates, schedules, timeouts, abort criteria and joining things are
// Run's work, which it finds again after a restart.
//
// # Events
//
// Observe hands over the notifications for devices ($aws/things/{thing}/jobs/notify
// and notify-next, of a namespace notify-namespace-{namespace} and
// notify-next-namespace-{namespace}) and the events of jobs and executions, with topic and
// payload. Package jobsmqtt publishes them, and serves the devices' requests;
// jobshttp has the control plane and the devices' HTTP interface.
//
// # Storage
//
// State is in a registry.Store, an ordered key space with atomic conditional
// writes: registry.NewMemStore, or registrypebble over a prefix of its own. The
// layout is in keys.go. An execution, its indexes and the counts of its job
// change in one write, so that they agree at any time and after a crash. When a
// call returns without an error its change is as durable as the store makes it.
// Events are told after that: a crash in between loses the event, not the
// change.
//
// Lists of one thing read the entries of that thing alone, and timeouts those
// that are due.
package jobs
