package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"

	"github.com/thingloom/thingloom/registry"
)

// CreateJob adds a job and begins to roll it out: the first thousand things of
// a job without rate have their executions when it returns, Run goes on.
//
// ID, Targets and one of Document, DocumentSource and Template are required;
// Selection is Snapshot unless given. With a Template what is not given is
// taken from it. Status, times and Progress are the service's to set. Errors
// are ErrInvalid, ErrNotFound for targets and templates, ErrExists, ErrLimit.
func (s *Service) CreateJob(ctx context.Context, j Job) (Job, error) {
	if err := s.fromTemplate(ctx, &j); err != nil {
		return Job{}, err
	}
	if err := s.fetch(ctx, &j.Document, j.DocumentSource); err != nil {
		return Job{}, err
	}
	if j.Selection == "" {
		j.Selection = Snapshot
	}
	now := s.opts.Now()
	err := errors.Join(checkID("jobId", j.ID), oneOf("targetSelection", string(j.Selection), string(Snapshot), string(Continuous)),
		checkText("description", j.Description, 2028), checkTags(j.Tags), checkNamespace(j.Namespace), checkParameters(j.Parameters), s.checkDocument(j.Document, j.Parameters),
		j.Config.check(), j.Schedule.check(now))
	if err != nil {
		return Job{}, err
	}
	if j.Targets, err = s.checkTargets(ctx, j.Targets); err != nil {
		return Job{}, err
	}
	if err := s.checkQuotas(ctx); err != nil {
		return Job{}, err
	}
	j.ForceCanceled, j.ReasonCode, j.Comment, j.Progress = false, "", "", Progress{}
	j.Created, j.Updated, j.Completed, j.Status = now, now, noTime, JobInProgress
	if start := j.Schedule.start(); start.After(now) {
		j.Status = JobScheduled
	}
	_, err = s.update(ctx, func(t *tx) error {
		if found, err := t.get(keyJob+j.ID, nil); err != nil {
			return err
		} else if found {
			return fmt.Errorf("jobs: job %q: %w", j.ID, ErrExists)
		}
		return t.putJob(&j)
	})
	if err != nil {
		return Job{}, err
	}
	s.proceed(ctx, j.ID)
	return s.Job(ctx, j.ID)
}

// checkQuotas checks that there may be one job more.
func (s *Service) checkQuotas(ctx context.Context) error {
	active, concurrent := 0, 0
	for id, err := range s.keys(ctx, keyActive, "") {
		if err != nil {
			return err
		}
		if active++; active >= s.opts.MaxActive {
			return fmt.Errorf("%w: %d jobs are active", ErrLimit, active)
		}
		if s.opts.MaxConcurrent <= 0 {
			continue
		}
		j, err := s.Job(ctx, id)
		if errors.Is(err, ErrNotFound) {
			continue // it ended meanwhile
		}
		if err != nil {
			return err
		}
		if j.Concurrent() || j.joinable() {
			concurrent++
		}
		if concurrent >= s.opts.MaxConcurrent {
			return fmt.Errorf("%w: %d jobs are concurrent", ErrLimit, concurrent)
		}
	}
	return nil
}

// Job returns a job.
func (s *Service) Job(ctx context.Context, id string) (Job, error) {
	if err := checkID("jobId", id); err != nil {
		return Job{}, err
	}
	var j Job
	found, err := s.load(ctx, keyJob+id, &j)
	if err == nil && !found {
		err = notFound("job", id)
	}
	return j, err
}

// Counts returns how many things of a job have an execution in each status.
func (s *Service) Counts(ctx context.Context, id string) (Counts, error) {
	var sum Counts
	for c, err := range values[Counts](ctx, s, keyCounts+id+"/", "") {
		if err != nil {
			return sum, err
		}
		sum.add(&c)
	}
	return sum, nil
}

// counts is Counts as a part of the transaction.
func (t *tx) counts(id string) (Counts, error) {
	var sum Counts
	for shard := range shards {
		var c Counts
		if _, err := t.get(fmt.Sprint(keyCounts, id, "/", shard), &c); err != nil {
			return sum, err
		}
		sum.add(&c)
	}
	return sum, nil
}

// A JobQuery selects jobs; zero fields select all.
type JobQuery struct {
	Status    Status
	Selection Selection
	Group     string // jobs that name the group as a target
	GroupID   string // the same, by the ID of the group
	Namespace string
	After     string // jobs with a greater ID
}

// Jobs yields jobs in the order of their IDs. Errors are ErrInvalid, and
// ErrNotFound for a group that does not exist.
func (s *Service) Jobs(ctx context.Context, q JobQuery) iter.Seq2[Job, error] {
	return func(yield func(Job, error) bool) {
		target, err := s.checkQuery(ctx, q)
		if err != nil {
			yield(Job{}, err)
			return
		}
		for j, err := range values[Job](ctx, s, keyJob, q.After) {
			if err == nil && (q.Status != "" && j.Status != q.Status || q.Selection != "" && j.Selection != q.Selection ||
				q.Namespace != "" && j.Namespace != q.Namespace || target != "" && !slices.Contains(j.Targets, target)) {
				continue
			}
			if !yield(j, err) {
				return
			}
		}
	}
}

// checkQuery checks a query, and returns the ARN of its group, if it has one.
func (s *Service) checkQuery(ctx context.Context, q JobQuery) (target string, err error) {
	if q.Status != "" {
		err = oneOf("status", string(q.Status), string(JobScheduled), string(JobInProgress), string(JobCompleted), string(JobCanceled), string(JobDeleting))
	}
	if q.Selection != "" {
		err = errors.Join(err, oneOf("targetSelection", string(q.Selection), string(Snapshot), string(Continuous)))
	}
	switch {
	case err != nil || q.Group == "" && q.GroupID == "":
		return "", err
	case q.Group != "" && q.GroupID != "":
		return "", invalid("thingGroupId", "is given with thingGroupName")
	case q.Group != "":
		g, err := s.reg.Group(ctx, q.Group)
		if errors.Is(err, registry.ErrNotFound) {
			err = notFound("thing group", q.Group)
		}
		return s.reg.ARN("thinggroup/" + g.Name), err
	}
	for g, err := range s.reg.Groups(ctx, registry.GroupQuery{}) {
		if err != nil {
			return "", err
		}
		if g.ID == q.GroupID {
			return s.reg.ARN("thinggroup/" + g.Name), nil
		}
	}
	return "", notFound("thing group", q.GroupID)
}

// A JobUpdate changes a job: what is nil stays. New timeouts count for
// executions that start later.
type JobUpdate struct {
	ID          string
	Description *string
	Config
}

// UpdateJob changes a job.
func (s *Service) UpdateJob(ctx context.Context, u JobUpdate) error {
	if err := errors.Join(checkID("jobId", u.ID), u.Config.check()); err != nil {
		return err
	}
	if u.Description != nil {
		if err := checkText("description", *u.Description, 2028); err != nil {
			return err
		}
	}
	_, err := s.update(ctx, func(t *tx) error {
		j, err := t.job(u.ID)
		if err != nil {
			return err
		}
		if j.Status == JobDeleting {
			return fmt.Errorf("%w: job %q is being deleted", ErrTransition, j.ID)
		}
		if u.Description != nil {
			j.Description = *u.Description
		}
		j.Config = u.Config.over(j.Config)
		j.Updated = s.opts.Now()
		return t.putJob(&j)
	})
	if err == nil {
		s.agenda.at(u.ID, s.opts.Now())
	}
	return err
}

// over returns c, with what it lacks taken from below.
func (c Config) over(below Config) Config {
	if c.Presign == nil {
		c.Presign = below.Presign
	}
	if c.Rollout == nil {
		c.Rollout = below.Rollout
	}
	if c.Abort == nil {
		c.Abort = below.Abort
	}
	if c.Timeout == nil {
		c.Timeout = below.Timeout
	}
	if c.Retry == nil {
		c.Retry = below.Retry
	}
	return c
}

// AssociateTargets adds targets to a continuous job that is in progress.
func (s *Service) AssociateTargets(ctx context.Context, id string, targets []string, comment string) (Job, error) {
	if err := errors.Join(checkID("jobId", id), checkText("comment", comment, 2028)); err != nil {
		return Job{}, err
	}
	targets, err := s.checkTargets(ctx, targets)
	if err != nil {
		return Job{}, err
	}
	_, err = s.update(ctx, func(t *tx) error {
		j, err := t.job(id)
		if err != nil {
			return err
		}
		if !j.joinable() {
			return invalid("jobId", "names a job that is %s and %s; only a CONTINUOUS one IN_PROGRESS takes targets", j.Selection, j.Status)
		}
		for _, arn := range targets {
			if !slices.Contains(j.Targets, arn) {
				j.Targets = append(j.Targets, arn)
			}
		}
		if len(j.Targets) > s.opts.MaxTargets {
			return fmt.Errorf("%w: %d targets, more than %d", ErrLimit, len(j.Targets), s.opts.MaxTargets)
		}
		if comment != "" {
			j.Comment = comment
		}
		j.Progress.RolledOut = j.Progress.RolledOut && j.Progress.Expanded == len(j.Targets)
		j.Updated = s.opts.Now()
		return t.putJob(&j)
	})
	if err != nil {
		return Job{}, err
	}
	s.proceed(ctx, id)
	return s.Job(ctx, id)
}
