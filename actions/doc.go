// Package actions delivers requests somewhere: each to one plugin with
// parameters, behind a queue of its own, with retries, and with an account of
// what became of every one.
//
//	catalog, err := actions.NewCatalog(webhook.Spec(nil), republish.Spec(broker), mine.Spec())
//	d, err := actions.NewDispatcher(catalog, nil)
//	go d.Run(ctx)
//	a, err := d.Open(ctx, "webhook", json.RawMessage(`{"url":"https://api.example/hot"}`))
//	err = a.Do(ctx, &actions.Request{Topic: "sensors/s1", Payload: payload, Source: message})
//
// It knows neither rules nor brokers: a Request says in words of its own what a
// rule selected from which message.
//
// # Plugins
//
// A plugin is a package with a function that returns a [Spec]; a program lists
// those it wants in a [Catalog]. Nothing registers itself. [NewSpec] makes one
// of a struct of parameters and a constructor: parameters are decoded
// strictly, so that an unknown field, a wrong type or a text that does not
// compile fails when a rule is put, as a [*ParamError] with the path, and not
// at the first message. [Template] is the type of a parameter with
// substitutions. [Describe] and Catalog.WriteDoc make documentation of the
// struct's tags. actionstest.TestAction says what a plugin has to do, and
// examples/custom-action is one in a file.
//
// # From Do to the far end
//
// An inline action (Spec.Inline) is quick, or durable in itself: it runs on the
// caller's goroutine, and its error is Do's. Any other Do puts the request
// into the queue of its action and returns; workers take it from there, call
// the plugin with a timeout, repeat what failed by the [RetryPolicy], and hand
// what failed for good to Options.DeadLetter. A panic is a permanent error. A
// full queue refuses by default ([ErrQueueFull], which the rule's error action
// sees); [FullPolicy] has the alternatives.
//
// A queue belongs to an [Identity]: plugin, parameters and owner. Opening the
// same again shares it, so that a rule is replaced by its equal without a gap;
// a rule with other parameters has another queue, while the old one is
// delivered with the parameters under which its requests were taken, even by
// the next process.
//
// # Guarantees
//
// With actionspebble, a request whose Do returned nil is on disk: whatever
// stops the process, it is delivered at least once or dead-lettered, and a
// slow sink costs disk and no memory. With [Memory], the default, it is lost
// when the process ends before Run has drained. Receivers tell repetitions by
// Request.ID. Several workers may overtake one another: order is kept with
// Options.Workers 1 alone, and not across attempts of a retry.
//
// The outcome of each request comes once, by Request.Done, or by
// Options.Settled where the callback did not survive. Dispatcher.Stats has a
// ledger per action, true at any moment:
//
//	handed over = delivered + dead-lettered + pending + dropped, by reason
//
// # Start and stop
//
// Actions may be opened and used before Run and while it runs. Stop the intake
// first; then end the context of Run: it takes nothing more, delivers what is
// in memory, leaves what is on disk to the next process, both within
// Options.DrainTimeout, and closes queues and plugins.
package actions
