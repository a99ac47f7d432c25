// The side channel for tests, JSON over loopback HTTP: sessions, calls, rules and held tasks.
package main

import (
	"encoding/json"
	"net/http"
	"sort"
	"strconv"
	"strings"
)

func (f *front) controlHandler() http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("/sessions", func(w http.ResponseWriter, r *http.Request) { f.listSessions(w) })
	mux.HandleFunc("/calls", func(w http.ResponseWriter, r *http.Request) { f.listCalls(w, r) })
	mux.HandleFunc("/rules", func(w http.ResponseWriter, r *http.Request) { f.changeRules(w, r) })
	mux.HandleFunc("/tasks", func(w http.ResponseWriter, r *http.Request) { f.listTasks(w) })
	mux.HandleFunc("/tasks/", func(w http.ResponseWriter, r *http.Request) { f.releaseTask(w, r) })
	return mux
}

func (f *front) listSessions(w http.ResponseWriter) {
	type item struct {
		Key       string `json:"key"`
		UserName  string `json:"userName"`
		LoginTime string `json:"loginTime"`
	}
	items := []item{}
	for _, session := range f.sessions() {
		items = append(items, item{session.Key, session.UserName, session.LoginTime.Format("2006-01-02T15:04:05.999999Z07:00")})
	}
	writeJSON(w, items)
}

func (f *front) listCalls(w http.ResponseWriter, r *http.Request) {
	method := r.URL.Query().Get("method")
	f.mu.Lock()
	items := []call{}
	for _, entry := range f.calls {
		if method == "" || entry.Method == method {
			items = append(items, *entry)
		}
	}
	dropped := f.dropped
	if r.Method == http.MethodDelete {
		f.calls, f.dropped = nil, 0
	}
	f.mu.Unlock()
	writeJSON(w, map[string]interface{}{"items": items, "dropped": dropped})
}

func (f *front) changeRules(w http.ResponseWriter, r *http.Request) {
	switch r.Method {
	case http.MethodPost:
		added := &rule{}
		decoder := json.NewDecoder(http.MaxBytesReader(w, r.Body, 1<<16))
		decoder.DisallowUnknownFields()
		if err := decoder.Decode(added); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		switch added.Kind {
		case "delay-before", "delay-after", "drop", "status", "task":
		default:
			http.Error(w, "unknown kind of rule: "+added.Kind, http.StatusBadRequest)
			return
		}
		f.addRule(added)
		writeJSON(w, map[string]int{"id": added.ID})
	case http.MethodDelete:
		id, _ := strconv.Atoi(r.URL.Query().Get("id"))
		f.dropRules(id)
		writeJSON(w, map[string]bool{"done": true})
	default:
		f.mu.Lock()
		items := []rule{}
		for _, entry := range f.rules {
			items = append(items, *entry)
		}
		f.mu.Unlock()
		writeJSON(w, items)
	}
}

func (f *front) listTasks(w http.ResponseWriter) {
	f.mu.Lock()
	items := []heldTask{}
	for _, held := range f.tasks {
		items = append(items, *held)
	}
	f.mu.Unlock()
	sort.Slice(items, func(i, j int) bool { return items[i].ID < items[j].ID })
	writeJSON(w, items)
}

// releaseTask lets `POST /tasks/<id>/release` end one task, and `POST /tasks/all/release` all of them.
func (f *front) releaseTask(w http.ResponseWriter, r *http.Request) {
	id := strings.TrimSuffix(strings.TrimPrefix(r.URL.Path, "/tasks/"), "/release")
	f.mu.Lock()
	released := 0
	for key, held := range f.tasks {
		if id == "all" || id == key {
			closeOnce(held.released)
			released++
		}
	}
	f.mu.Unlock()
	if released == 0 && id != "all" {
		http.Error(w, "no such task", http.StatusNotFound)
		return
	}
	writeJSON(w, map[string]int{"released": released})
}

func writeJSON(w http.ResponseWriter, value interface{}) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(value)
}
