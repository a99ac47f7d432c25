// Tasks that take their time: the simulator finishes every task inside the call that starts it, a real vCenter does
// not, and what a fence has to await is the difference.
package main

import (
	"context"
	"encoding/xml"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"time"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/simulator/vpx"
	"github.com/vmware/govmomi/vim25/methods"
	"github.com/vmware/govmomi/vim25/soap"
	"github.com/vmware/govmomi/vim25/types"
)

type heldTask struct {
	ID         string `json:"id"`
	Method     string `json:"method"`
	Object     string `json:"object"`
	User       string `json:"user"`
	State      string `json:"state"`
	Cancelable bool   `json:"cancelable"`

	task     *simulator.Task
	released chan struct{}
	canceled chan struct{}
}

var taskReference = regexp.MustCompile(`<returnval[^>]*type="Task"[^>]*>([^<]+)</returnval>`)

// hold answers with a task that stays running, and lets the simulator do the work when the rule says so.
func (f *front) hold(w http.ResponseWriter, matched *rule, entry *call, method *simulator.Method, session *types.UserSession, r *http.Request, body []byte) {
	object := simulator.Map.Get(method.This)
	if object == nil {
		writeFault(w, "ManagedObjectNotFound", "no such object")
		return
	}
	name := strings.TrimSuffix(method.Name, "_Task")
	task := simulator.CreateTask(object, strings.ToLower(name[:1])+name[1:]+"Task", nil)
	held := &heldTask{
		ID: task.Self.Value, Method: method.Name, Object: method.This.Value, User: session.UserName, State: "running",
		Cancelable: matched.Cancelable, task: task, released: make(chan struct{}), canceled: make(chan struct{}),
	}
	started := time.Now().UTC()
	simulator.Map.WithLock(task, func() {
		task.Info.Cancelable = matched.Cancelable
		task.Info.Reason = &types.TaskReasonUser{UserName: session.UserName}
		task.Info.QueueTime = started
		simulator.Map.Update(task, []types.PropertyChange{
			{Name: "info.startTime", Val: started},
			{Name: "info.state", Val: types.TaskInfoStateRunning},
		})
	})
	f.change(func() {
		entry.State = "running"
		f.tasks[held.ID] = held
	})
	go f.finish(held, matched, entry, r, body)
	writeAnswer(w, method.Name, fmt.Sprintf(`<returnval type="Task">%s</returnval>`, held.ID))
}

func (f *front) finish(held *heldTask, matched *rule, entry *call, r *http.Request, body []byte) {
	var outcome *types.TaskInfo
	if matched.EffectFirst {
		outcome = f.work(r, body)
		f.change(func() { entry.State = "executed" })
	}
	ended := make(chan struct{})
	go func() {
		// A rule that is dropped releases its tasks.
		select {
		case <-matched.released:
			f.release(held)
		case <-ended:
		}
	}()
	limit := time.Duration(0)
	if matched.Ms != nil {
		limit = time.Duration(*matched.Ms) * time.Millisecond
	}
	sleepOrRelease(limit, matched.Ms == nil, held.released)
	close(ended)

	canceled := false
	select {
	case <-held.canceled:
		canceled = true
	default:
	}
	switch {
	case canceled && outcome == nil:
		outcome = &types.TaskInfo{State: types.TaskInfoStateError, Error: &types.LocalizedMethodFault{
			Fault: &types.RequestCanceled{}, LocalizedMessage: "The task was canceled by a user.",
		}}
		f.change(func() { entry.State = "canceled" })
	case outcome == nil:
		outcome = f.work(r, body)
		f.change(func() { entry.State = "executed" })
	}
	simulator.Map.WithLock(held.task, func() {
		changes := []types.PropertyChange{
			{Name: "info.completeTime", Val: time.Now().UTC()},
			{Name: "info.state", Val: outcome.State},
		}
		if outcome.Result != nil {
			changes = append(changes, types.PropertyChange{Name: "info.result", Val: outcome.Result})
		}
		if outcome.Error != nil {
			changes = append(changes, types.PropertyChange{Name: "info.error", Val: *outcome.Error})
		}
		simulator.Map.Update(held.task, changes)
	})
	f.change(func() { held.State = string(outcome.State) })
}

// work runs the call under a session of its own: a task goes on when the session that started it is gone.
func (f *front) work(r *http.Request, body []byte) *types.TaskInfo {
	failed := func(message string) *types.TaskInfo {
		return &types.TaskInfo{State: types.TaskInfoStateError, Error: &types.LocalizedMethodFault{
			Fault: &types.SystemError{}, LocalizedMessage: message,
		}}
	}
	login := httptest.NewRecorder()
	f.execute(login, r, "", []byte(soapOf(`<Login xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this><userName>task-runner</userName><password>task-runner</password></Login>`)))
	key := ""
	for _, cookie := range login.Result().Cookies() {
		if cookie.Name == soap.SessionCookieName {
			key = cookie.Value
		}
	}
	defer func() {
		f.execute(httptest.NewRecorder(), r, key, []byte(soapOf(`<Logout xmlns="urn:vim25"><_this type="SessionManager">SessionManager</_this></Logout>`)))
	}()
	answer := httptest.NewRecorder()
	f.execute(answer, r, key, body)
	found := taskReference.FindSubmatch(answer.Body.Bytes())
	if answer.Code != http.StatusOK || found == nil {
		return failed("the simulator refused the call: " + answer.Body.String())
	}
	object := simulator.Map.Get(types.ManagedObjectReference{Type: "Task", Value: string(found[1])})
	task, ok := object.(*simulator.Task)
	if !ok {
		return failed("the simulator's task is gone")
	}
	var info types.TaskInfo
	simulator.Map.WithLock(task, func() { info = task.Info })
	return &info
}

// nameStarter writes into the simulator's own task who started it, as a real vCenter does.
func (f *front) nameStarter(method string, answer *httptest.ResponseRecorder, session *types.UserSession) {
	if !strings.HasSuffix(method, "_Task") || session == nil || answer.Code != http.StatusOK {
		return
	}
	found := taskReference.FindSubmatch(answer.Body.Bytes())
	if found == nil {
		return
	}
	if task, ok := simulator.Map.Get(types.ManagedObjectReference{Type: "Task", Value: string(found[1])}).(*simulator.Task); ok {
		simulator.Map.WithLock(task, func() {
			task.Info.Reason = &types.TaskReasonUser{UserName: session.UserName}
		})
	}
}

func (f *front) cancelTask(w http.ResponseWriter, method *simulator.Method) {
	f.mu.Lock()
	held := f.tasks[method.This.Value]
	running := held != nil && held.State == "running"
	cancelable := running && held.Cancelable
	if cancelable {
		closeOnce(held.canceled)
		closeOnce(held.released)
	}
	f.mu.Unlock()
	switch {
	case cancelable:
		writeAnswer(w, "CancelTask", "")
	case running:
		writeFault(w, "NotSupported", "the task cannot be canceled")
	default:
		writeFault(w, "InvalidState", "the task is over")
	}
}

func (f *front) release(held *heldTask) {
	f.change(func() { closeOnce(held.released) })
}

// sessions asks the simulator itself, in process, so that this is the list that a client would see.
func (f *front) sessions() []types.UserSession {
	request := types.RetrieveProperties{
		This: vpx.ServiceContent.PropertyCollector,
		SpecSet: []types.PropertyFilterSpec{{
			PropSet:   []types.PropertySpec{{Type: "SessionManager", PathSet: []string{"sessionList"}}},
			ObjectSet: []types.ObjectSpec{{Obj: simulator.Map.SessionManager().Self}},
		}},
	}
	answer, err := methods.RetrieveProperties(context.Background(), f.service, &request)
	if err != nil || len(answer.Returnval) == 0 || len(answer.Returnval[0].PropSet) == 0 {
		return nil
	}
	switch list := answer.Returnval[0].PropSet[0].Val.(type) {
	case *types.ArrayOfUserSession:
		return list.UserSession
	case types.ArrayOfUserSession:
		return list.UserSession
	default:
		return nil
	}
}

func soapOf(inner string) string {
	return `<?xml version="1.0"?><Envelope xmlns="http://schemas.xmlsoap.org/soap/envelope/"><Body>` + inner + `</Body></Envelope>`
}

func closeOnce(channel chan struct{}) {
	select {
	case <-channel:
	default:
		close(channel)
	}
}

func escapeText(w io.Writer, text string) error { return xml.EscapeText(w, []byte(text)) }
