package jobs_test

import (
	"context"
	"fmt"

	"github.com/thingloom/thingloom/registry"
	"github.com/thingloom/thingloom/registry/jobs"
)

func Example() {
	ctx := context.Background()
	reg, err := registry.New(registry.NewMemStore(), nil)
	if err != nil {
		panic(err)
	}
	svc, err := jobs.New(registry.NewMemStore(), reg, nil)
	if err != nil {
		panic(err)
	}
	// The order of a program: jobsmqtt.New publishes what is printed here.
	svc.Observe(func(_ context.Context, e jobs.Event) { fmt.Println(e.Topic) })
	if _, err := reg.CreateThing(ctx, registry.Thing{Name: "lamp-7"}); err != nil {
		panic(err)
	}
	_, err = svc.CreateJob(ctx, jobs.Job{ID: "update-7", Targets: []string{reg.ARN("thing/lamp-7")}, Document: `{"operation":"update"}`})
	if err != nil {
		panic(err)
	}
	e, err := svc.StartNext(ctx, "lamp-7", jobs.Start{})
	if err != nil {
		panic(err)
	}
	if _, err := svc.Update(ctx, "lamp-7", e.Job, jobs.Update{Status: jobs.Succeeded}); err != nil {
		panic(err)
	}
	job, err := svc.Job(ctx, "update-7")
	fmt.Println(job.Status, err)
	// Output:
	// $aws/things/lamp-7/jobs/notify
	// $aws/things/lamp-7/jobs/notify-next
	// $aws/things/lamp-7/jobs/notify
	// $aws/things/lamp-7/jobs/notify-next
	// $aws/events/jobExecution/update-7/succeeded
	// $aws/events/job/update-7/completed
	// COMPLETED <nil>
}
