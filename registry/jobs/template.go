package jobs

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"
)

// A Template is what jobs are made of. Its JSON form is how it is stored.
type Template struct {
	ID             string            `json:"id"` // 1 to 64 of [a-zA-Z0-9_-]
	Description    string            `json:"description"`
	Document       string            `json:"document"`
	DocumentSource string            `json:"documentSource,omitempty"`
	Windows        []Window          `json:"windows,omitempty"`
	Tags           map[string]string `json:"tags,omitempty"`
	Created        time.Time         `json:"created"`
	Config
}

// CreateTemplate adds a template: from a job named by its ARN, with what t has
// set put over it, or from t alone, which then needs a document. ID and
// Description are required.
func (s *Service) CreateTemplate(ctx context.Context, t Template, jobARN string) (Template, error) {
	if t.Description == "" {
		return Template{}, invalid("description", "is missing")
	}
	if jobARN != "" {
		id, ok := strings.CutPrefix(jobARN, s.ARN("job/"))
		if !ok {
			return Template{}, invalid("jobArn", "%q is not the ARN of a job", jobARN)
		}
		if t.Document != "" || t.DocumentSource != "" {
			return Template{}, invalid("jobArn", "is given with a document")
		}
		j, err := s.Job(ctx, id)
		if err != nil {
			return Template{}, err
		}
		t.Document, t.DocumentSource, t.Config = j.Document, j.DocumentSource, t.Config.over(j.Config)
		if t.Windows == nil && j.Schedule != nil {
			t.Windows = j.Schedule.Windows
		}
	} else if err := s.fetch(ctx, &t.Document, t.DocumentSource); err != nil {
		return Template{}, err
	}
	t.Created = s.opts.Now()
	windows := Schedule{Windows: t.Windows}
	err := errors.Join(checkID("jobTemplateId", t.ID), checkText("description", t.Description, 2028), checkTags(t.Tags), t.Config.check(), windows.check(t.Created))
	if err == nil {
		// Parameters come with the job.
		err = s.checkDocument(t.Document, parametersOf(t.Document))
	}
	if err != nil {
		return Template{}, err
	}
	_, err = s.update(ctx, func(x *tx) error {
		if found, err := x.get(keyTemplate+t.ID, nil); err != nil {
			return err
		} else if found {
			return fmt.Errorf("jobs: template %q: %w", t.ID, ErrExists)
		}
		return x.put(keyTemplate+t.ID, t)
	})
	return t, err
}

// parametersOf returns some value for each parameter of a document.
func parametersOf(document string) map[string]string {
	all := map[string]string{}
	substitute(document, func(name string) (string, bool, error) {
		if parameter, ok := strings.CutPrefix(name, parameterOpen); ok {
			all[parameter] = "1"
		}
		return "", false, nil
	})
	return all
}

// Template returns a template.
func (s *Service) Template(ctx context.Context, id string) (Template, error) {
	if err := checkID("jobTemplateId", id); err != nil {
		return Template{}, err
	}
	var t Template
	found, err := s.load(ctx, keyTemplate+id, &t)
	if err == nil && !found {
		err = notFound("job template", id)
	}
	return t, err
}

// Templates yields the templates beyond after in the order of their IDs.
func (s *Service) Templates(ctx context.Context, after string) iter.Seq2[Template, error] {
	return values[Template](ctx, s, keyTemplate, after)
}

// DeleteTemplate deletes a template. Jobs made of it stay as they are.
func (s *Service) DeleteTemplate(ctx context.Context, id string) error {
	if err := checkID("jobTemplateId", id); err != nil {
		return err
	}
	_, err := s.update(ctx, func(t *tx) error {
		if found, err := t.get(keyTemplate+id, nil); err != nil {
			return err
		} else if !found {
			return notFound("job template", id)
		}
		t.delete(keyTemplate + id)
		return nil
	})
	return err
}

// fromTemplate fills what a new job takes from its template.
func (s *Service) fromTemplate(ctx context.Context, j *Job) error {
	if j.Template == "" {
		return nil
	}
	id, ok := strings.CutPrefix(j.Template, s.ARN("jobtemplate/"))
	if !ok {
		return invalid("jobTemplateArn", "%q is not the ARN of a job template", j.Template)
	}
	t, err := s.Template(ctx, id)
	if err != nil {
		return err
	}
	if j.Document == "" && j.DocumentSource == "" {
		j.Document = t.Document
	}
	if j.Description == "" {
		j.Description = t.Description
	}
	j.Config = j.Config.over(t.Config)
	if len(t.Windows) > 0 {
		c := Schedule{}
		if j.Schedule != nil {
			c = *j.Schedule
		}
		if c.Windows == nil {
			c.Windows = t.Windows
		}
		j.Schedule = &c
	}
	return nil
}
