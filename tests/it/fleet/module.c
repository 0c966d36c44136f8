/* A module library for the tests: every function of the server half, a log of the calls, and faults by configuration.
 * A status "cmd:TEXT" makes it offer the command TEXT for the same device. Buffers are counted. */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#ifndef NUMBER
#define NUMBER 1000
#endif

struct buffer { void *data; size_t size_in_bytes; };
struct device_identification { int module; unsigned int device_type; struct buffer device_role; struct buffer device_name; unsigned int priority; };
struct key_value { struct buffer key; struct buffer value; };
struct config { struct key_value *parameters; size_t size; };

struct command { struct command *next; char *data; char *role; char *name; int module; unsigned int type; };
struct context { pthread_mutex_t lock; char log[512]; char fault[64]; char car[80]; struct command *first; int count; long outstanding; long given; };

static struct context *last; /* `deallocate` has no context */

static char *text(struct buffer b) { char *s = malloc(b.size_in_bytes + 1); memcpy(s, b.data, b.size_in_bytes); s[b.size_in_bytes] = 0; return s; }
static void tell(struct context *c, const char *what, const char *a, const char *b) {
  if (!c->log[0]) return;
  FILE *f = fopen(c->log, "a");
  if (!f) return;
  fprintf(f, "%s %s %s %s\n", c->car, what, a, b);
  fclose(f);
}
static int is(struct context *c, const char *fault) { return strcmp(c->fault, fault) == 0; }
static int give(struct context *c, struct buffer *b, const char *s) {
  b->size_in_bytes = strlen(s);
  b->data = malloc(b->size_in_bytes + 1); /* not terminated, as in the field */
  memcpy(b->data, s, b->size_in_bytes);
  __atomic_add_fetch(&c->outstanding, 1, __ATOMIC_SEQ_CST);
  c->given++;
  return 0;
}

int get_module_number(void) { return NUMBER; }
int is_device_type_supported(unsigned int type) { return type == 9 ? -1 : 0; }
int allocate(struct buffer *b, size_t n) { b->data = malloc(n); b->size_in_bytes = n; return b->data ? 0 : -1; }
void deallocate(struct buffer *b) { if (last) __atomic_sub_fetch(&last->outstanding, 1, __ATOMIC_SEQ_CST); free(b->data); b->data = NULL; b->size_in_bytes = 0; }

void *init(struct config config) {
  struct context *c = calloc(1, sizeof *c);
  pthread_mutex_init(&c->lock, NULL);
  for (size_t i = 0; i < config.size; i++) {
    char *k = text(config.parameters[i].key), *v = text(config.parameters[i].value);
    if (!strcmp(k, "log")) snprintf(c->log, sizeof c->log, "%s", v);
    if (!strcmp(k, "fault")) snprintf(c->fault, sizeof c->fault, "%s", v);
    if (!strcmp(k, "car_name")) snprintf(c->car, sizeof c->car, "%s", v);
    free(k); free(v);
  }
  printf("this must not reach the frames\n");
  fflush(stdout);
  if (is(c, "init")) { free(c); return NULL; }
  last = c;
  tell(c, "init", "", "");
  return c;
}
int destroy(void **context) {
  struct context *c = *context;
  char a[64];
  snprintf(a, sizeof a, "outstanding=%ld given=%ld", c->outstanding, c->given);
  tell(c, "destroy", a, "");
  *context = NULL;
  return 0;
}
int forward_status(struct buffer status, struct device_identification d, void *context) {
  struct context *c = context;
  char *s = text(status), *role = text(d.device_role), *name = text(d.device_name);
  if (is(c, "abort") && strstr(s, "boom")) abort();
  if (is(c, "abort_once") && strstr(s, "boom")) { char mark[600]; snprintf(mark, sizeof mark, "%s.once", c->log); if (access(mark, F_OK)) { fclose(fopen(mark, "w")); abort(); } }
  if (is(c, "block") && strstr(s, "boom")) sleep(8);
  tell(c, "status", role, s);
  int code = 0;
  if (strstr(s, "nok")) code = -3;
  if (!strncmp(s, "cmd:", 4)) {
    int n = 1;
    char *many = strchr(s, '*');
    if (many) { n = atoi(many + 1); *many = 0; }
    for (int i = 0; i < n; i++) {
      struct command *new = calloc(1, sizeof *new), **end;
      new->data = strdup(s + 4); new->role = strdup(role); new->name = strdup(name); new->module = d.module; new->type = d.device_type;
      pthread_mutex_lock(&c->lock);
      for (end = &c->first; *end; end = &(*end)->next) {}
      *end = new; c->count++;
      pthread_mutex_unlock(&c->lock);
    }
  }
  free(s); free(role); free(name);
  return code;
}
int forward_error_message(struct buffer error, struct device_identification d, void *context) {
  char *s = text(error), *role = text(d.device_role);
  tell(context, "error", role, s);
  free(s); free(role);
  return 0;
}
int device_connected(struct device_identification d, void *context) {
  char *role = text(d.device_role), *name = text(d.device_name);
  tell(context, "connected", role, name);
  int code = strcmp(role, "unwanted") ? 0 : -1;
  free(role); free(name);
  return code;
}
int device_disconnected(int type, struct device_identification d, void *context) {
  char *role = text(d.device_role), a[16];
  snprintf(a, sizeof a, "%d", type);
  tell(context, "disconnected", role, a);
  free(role);
  return 0;
}
int wait_for_command(int timeout_ms, void *context) {
  struct context *c = context;
  if (is(c, "wait11")) return -11;
  if (is(c, "endless_pop")) return 0;
  for (int waited = 0; waited < timeout_ms; waited += 5) {
    pthread_mutex_lock(&c->lock);
    int ready = c->first != NULL;
    pthread_mutex_unlock(&c->lock);
    if (ready) return 0;
    usleep(5000);
  }
  return -12;
}
int pop_command(struct buffer *command, struct device_identification *d, void *context) {
  struct context *c = context;
  if (is(c, "endless_pop")) { d->module = NUMBER; give(c, &d->device_role, "test"); give(c, &d->device_name, "n"); give(c, command, "more"); return 1; }
  pthread_mutex_lock(&c->lock);
  struct command *first = c->first;
  if (first) { c->first = first->next; c->count--; }
  int left = c->count;
  pthread_mutex_unlock(&c->lock);
  if (!first) { give(c, &d->device_role, "half"); return -2; } /* an output on the way to an error */
  d->module = first->module; d->device_type = first->type; d->priority = 0;
  give(c, &d->device_role, first->role); give(c, &d->device_name, first->name); give(c, command, first->data);
  free(first->data); free(first->role); free(first->name); free(first);
  return left;
}
int command_ack(struct buffer command, struct device_identification d, void *context) {
  char *s = text(command), *role = text(d.device_role);
  tell(context, "ack", role, s);
  free(s); free(role);
  return 0;
}
