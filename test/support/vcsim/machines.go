// Virtual machines over REST, which govmomi's simulator has over SOAP alone: their list and power in both forms, and a
// relocation whose answer names a task. And the datastores that a content library may lie on.
package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"

	"github.com/vmware/govmomi/simulator"
	"github.com/vmware/govmomi/vim25/mo"
	"github.com/vmware/govmomi/vim25/types"

	_ "github.com/vmware/govmomi/vapi/simulator"
)

const genericSession = "/rest/com/vmware/cis/session"

var (
	restPower = regexp.MustCompile(`^/rest/vcenter/vm/([^/]+)/power(?:/(start|stop))?$`)
	apiPower  = regexp.MustCompile(`^/api/vcenter/vm/([^/]+)/power$`)
	apiVM     = regexp.MustCompile(`^/api/vcenter/vm/([^/]+)$`)
	apiTask   = regexp.MustCompile(`^/api/cis/tasks/([^/]+)$`)
	powers    = map[types.VirtualMachinePowerState]string{
		types.VirtualMachinePowerStatePoweredOn:  "POWERED_ON",
		types.VirtualMachinePowerStatePoweredOff: "POWERED_OFF",
		types.VirtualMachinePowerStateSuspended:  "SUSPENDED",
	}
)

// answerVMs answers what the simulator itself does not; false leaves the call to it.
func (f *front) answerVMs(w http.ResponseWriter, r *http.Request) bool {
	path := r.URL.Path
	rest, power, vm, task := restPower.FindStringSubmatch(path), apiPower.FindStringSubmatch(path), apiVM.FindStringSubmatch(path), apiTask.FindStringSubmatch(path)
	switch {
	case path == genericSession && r.Method == http.MethodPost && r.URL.RawQuery == "":
		name, password, _ := r.BasicAuth()
		if len(f.users) == 0 || (f.users[name] != "" && f.users[name] == password) {
			return false
		}
		refuseRest(w)
	case path != "/rest/vcenter/vm" && path != "/rest/vcenter/datastore" && rest == nil && power == nil && vm == nil && task == nil:
		return false
	case !f.knowsRest(r):
		refuseRest(w)
	case path == "/rest/vcenter/vm" && r.Method == http.MethodGet:
		writeValue(w, f.listVMs(r.URL.Query().Get("filter.names")))
	case path == "/rest/vcenter/datastore" && r.Method == http.MethodGet:
		found := []map[string]string{}
		for _, datastore := range simulator.Map.All("Datastore") {
			found = append(found, map[string]string{"datastore": datastore.Reference().Value, "name": datastore.Entity().Name})
		}
		writeValue(w, found)
	case rest != nil && r.Method == http.MethodPost && rest[2] != "":
		f.setPower(w, r, rest[1], rest[2], http.StatusOK)
	case rest != nil && r.Method == http.MethodGet && rest[2] == "":
		f.showPower(w, rest[1], writeValue)
	case power != nil && r.Method == http.MethodPost:
		f.setPower(w, r, power[1], r.URL.Query().Get("action"), http.StatusNoContent)
	case power != nil && r.Method == http.MethodGet:
		f.showPower(w, power[1], writeJSON)
	case vm != nil && r.Method == http.MethodPost && r.URL.Query().Get("action") == "relocate" && r.URL.Query().Get("vmw-task") == "true":
		f.startRestTask(w)
	case task != nil && r.Method == http.MethodGet:
		f.mu.Lock()
		state, known := f.restTasks[task[1]]
		f.mu.Unlock()
		if !known {
			w.WriteHeader(http.StatusNotFound)
			return true
		}
		writeJSON(w, map[string]string{"status": state})
	default:
		w.WriteHeader(http.StatusNotFound)
	}
	return true
}

// knowsRest asks the simulator about its own sessions, which those of /api are not among.
func (f *front) knowsRest(r *http.Request) bool {
	f.mu.Lock()
	_, known := f.restSessions[r.Header.Get(restHeader)]
	f.mu.Unlock()
	if known {
		return true
	}
	asked := httptest.NewRequest(http.MethodPost, genericSession+"?~action=get", nil)
	asked.Header.Set(restHeader, r.Header.Get(restHeader))
	answer := httptest.NewRecorder()
	f.inner.ServeHTTP(answer, asked)
	return answer.Code == http.StatusOK
}

func (f *front) listVMs(name string) []map[string]string {
	found := []map[string]string{}
	for _, entity := range simulator.Map.All("VirtualMachine") {
		vm := mo.VirtualMachine{}
		simulator.Map.WithLock(entity.Reference(), func() { vm = entity.(*simulator.VirtualMachine).VirtualMachine })
		if name == "" || vm.Name == name {
			found = append(found, map[string]string{"vm": vm.Self.Value, "name": vm.Name, "power_state": powers[vm.Runtime.PowerState]})
		}
	}
	return found
}

func (f *front) showPower(w http.ResponseWriter, id string, write func(http.ResponseWriter, interface{})) {
	for _, vm := range f.listVMs("") {
		if vm["vm"] == id {
			write(w, map[string]string{"state": vm["power_state"]})
			return
		}
	}
	w.WriteHeader(http.StatusNotFound)
}

// setPower lets the simulator do what the SOAP method of the same kind does.
func (f *front) setPower(w http.ResponseWriter, r *http.Request, id string, action string, status int) {
	method := map[string]string{"start": "PowerOnVM_Task", "stop": "PowerOffVM_Task"}[action]
	if method == "" {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	matched := f.match("REST " + action)
	matched.waitBefore()
	sdk := httptest.NewRequest(http.MethodPost, "/sdk", nil)
	outcome := f.work(sdk, []byte(soapOf(fmt.Sprintf(`<%s xmlns="urn:vim25"><_this type="VirtualMachine">%s</_this></%s>`, method, id, method))))
	matched.waitAfter()
	if matched.is("drop") {
		f.hangUp(w)
		return
	}
	if outcome.State != types.TaskInfoStateSuccess {
		w.WriteHeader(http.StatusBadRequest)
		writeJSON(w, map[string]interface{}{"error_type": "ALREADY_IN_DESIRED_STATE", "messages": []string{}})
		return
	}
	w.WriteHeader(status)
}

// startRestTask answers a task that runs until a rule of the kind "task" for "REST relocate" is dropped.
func (f *front) startRestTask(w http.ResponseWriter) {
	matched := f.match("REST relocate")
	id := ""
	f.change(func() {
		f.seq++
		id = fmt.Sprintf("task-%d:com.vmware.vcenter.VM", f.seq)
		f.restTasks[id] = "SUCCEEDED"
		if matched.is("task") {
			f.restTasks[id] = "RUNNING"
		}
	})
	if matched.is("task") {
		go func() {
			matched.wait()
			f.change(func() { f.restTasks[id] = "SUCCEEDED" })
		}()
	}
	w.WriteHeader(http.StatusAccepted)
	writeJSON(w, id)
}

func writeValue(w http.ResponseWriter, value interface{}) {
	writeJSON(w, map[string]interface{}{"value": value})
}
