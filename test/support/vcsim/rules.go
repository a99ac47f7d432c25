// The rules a test sets: which calls of which method wait, vanish, are refused, or start a task that takes its time.
package main

import (
	"net/http"
	"time"
)

// rule is taken by the next calls of its method. Ms absent means: until it is released.
type rule struct {
	ID     int    `json:"id"`
	Method string `json:"method"`
	// delay-before, delay-after: the answer comes late. drop: executed, then the connection is closed. status: answered
	// with Status, not executed. task: the method's task stays running, and does its work when it ends.
	Kind   string `json:"kind"`
	Ms     *int   `json:"ms"`
	Status int    `json:"status"`
	// Times is how many calls take the rule; 0 is all.
	Times int `json:"times"`
	// EffectFirst makes a held task do its work at once and only report late.
	EffectFirst bool `json:"effectFirst"`
	Cancelable  bool `json:"cancelable"`
	Taken       int  `json:"taken"`

	released chan struct{}
}

// match finds the rule for a call; nil where there is none, and nil does nothing.
func (f *front) match(method string) *rule {
	f.mu.Lock()
	defer f.mu.Unlock()
	for _, candidate := range f.rules {
		if candidate.Method != method || (candidate.Times > 0 && candidate.Taken >= candidate.Times) {
			continue
		}
		candidate.Taken++
		return candidate
	}
	return nil
}

func (r *rule) is(kind string) bool { return r != nil && r.Kind == kind }

func (r *rule) waitBefore() {
	if r.is("delay-before") {
		r.wait()
	}
}

func (r *rule) waitAfter() {
	if r.is("delay-after") || (r.is("drop") && r.Ms != nil) {
		r.wait()
	}
}

func (r *rule) wait() {
	forever := r.Ms == nil
	limit := time.Duration(0)
	if !forever {
		limit = time.Duration(*r.Ms) * time.Millisecond
	}
	sleepOrRelease(limit, forever, r.released)
}

func (f *front) addRule(added *rule) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.seq++
	added.ID = f.seq
	added.released = make(chan struct{})
	if added.Kind == "status" && added.Status == 0 {
		added.Status = http.StatusServiceUnavailable
	}
	f.rules = append(f.rules, added)
}

// dropRules releases whatever waits under the rules and forgets them; a zero id means all.
func (f *front) dropRules(id int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	kept := f.rules[:0]
	for _, candidate := range f.rules {
		if id != 0 && candidate.ID != id {
			kept = append(kept, candidate)
			continue
		}
		close(candidate.released)
	}
	f.rules = kept
}
