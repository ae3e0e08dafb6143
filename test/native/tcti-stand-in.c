/*
 * Implements the TCTI loader of tpm2-tss, with one TCTI in it, for tests. Like the TCTI mssim, it returns
 * TSS2_TCTI_RC_BAD_SEQUENCE in the wrong state, and cancel makes it expect a new command although the response to this one is
 * still on its way. It also returns this code for a call that begins while another one runs.
 *
 * Behind it is no TPM: the response to a command is the command with the response code 0.
 *
 * The test decides when a call ends, and reads what was called:
 *   stand_in_at      name of the call that waits, or an empty string
 *   stand_in_pass    lets that call end
 *   stand_in_trace   names of all calls on the context; "!" marks one that was refused
 */
#include <errno.h>
#include <pthread.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#define IO_ERROR 0x000a000au
#define NOT_IMPLEMENTED 0x000a0002u
#define BAD_SEQUENCE 0x000a0007u
#define PATIENCE_S 20

typedef struct context {
	uint64_t magic;
	uint32_t version;
	uint32_t (*transmit)(struct context *, size_t, const uint8_t *);
	uint32_t (*receive)(struct context *, size_t *, uint8_t *, int32_t);
	void (*finalize)(struct context *);
	uint32_t (*cancel)(struct context *);
	uint32_t (*get_poll_handles)(struct context *, void *, size_t *);
	uint32_t (*set_locality)(struct context *, uint8_t);
} context;

enum state { TRANSMIT, RECEIVE, FINAL };

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static pthread_cond_t wake = PTHREAD_COND_INITIALIZER;
static enum state state = FINAL;
static int running;
static const char *at = "";
static int may_pass;
static char trace[1024], reported[sizeof trace];
/* Responses on their way, the oldest first. */
static uint8_t responses[4][4096];
static size_t sizes[4], count;

static void record(const char *name, int refused)
{
	size_t used = strlen(trace);
	snprintf(trace + used, sizeof trace - used, "%s%s%s", used ? " " : "", name, refused ? "!" : "");
}

/* Begins a call, with the lock. 0 if it is refused. */
static int begin(const char *name, enum state wanted)
{
	int refused;

	pthread_mutex_lock(&lock);
	refused = running > 0 || state != wanted;
	record(name, refused);
	if (refused)
		pthread_mutex_unlock(&lock);
	else
		running++;
	return !refused;
}

/* Waits for the test. 0 if it does not come. */
static int wait_at(const char *name)
{
	struct timespec until;
	int rc = 0, passed;

	clock_gettime(CLOCK_REALTIME, &until);
	until.tv_sec += PATIENCE_S;
	at = name;
	while (!may_pass && rc != ETIMEDOUT)
		rc = pthread_cond_timedwait(&wake, &lock, &until);
	passed = may_pass;
	may_pass = 0;
	at = "";
	return passed;
}

static uint32_t end(enum state next, uint32_t code)
{
	state = next;
	running--;
	pthread_mutex_unlock(&lock);
	return code;
}

static uint32_t stand_in_transmit(context *c, size_t size, const uint8_t *command)
{
	(void)c;
	if (!begin("transmit", TRANSMIT))
		return BAD_SEQUENCE;
	if (!wait_at("transmit") || size < 10 || size > sizeof responses[0] || count == 4)
		return end(TRANSMIT, IO_ERROR);
	memcpy(responses[count], command, size);
	memset(responses[count] + 6, 0, 4);
	sizes[count++] = size;
	return end(RECEIVE, 0);
}

static uint32_t stand_in_receive(context *c, size_t *size, uint8_t *response, int32_t timeout)
{
	(void)c;
	(void)timeout;
	if (!begin("receive", RECEIVE))
		return BAD_SEQUENCE;
	if (!wait_at("receive") || *size < sizes[0])
		return end(TRANSMIT, IO_ERROR);
	*size = sizes[0];
	memcpy(response, responses[0], sizes[0]);
	count--;
	memmove(responses[0], responses[1], count * sizeof responses[0]);
	memmove(sizes, sizes + 1, count * sizeof sizes[0]);
	return end(TRANSMIT, 0);
}

static uint32_t stand_in_cancel(context *c)
{
	(void)c;
	return begin("cancel", RECEIVE) ? end(TRANSMIT, 0) : BAD_SEQUENCE;
}

static void stand_in_finalize(context *c)
{
	(void)c;
	pthread_mutex_lock(&lock);
	record("finalize", running > 0 || state == FINAL);
	state = FINAL;
	pthread_mutex_unlock(&lock);
}

static uint32_t no_poll_handles(context *c, void *handles, size_t *n)
{
	(void)c;
	(void)handles;
	(void)n;
	return NOT_IMPLEMENTED;
}

static uint32_t no_locality(context *c, uint8_t locality)
{
	(void)c;
	(void)locality;
	return NOT_IMPLEMENTED;
}

uint32_t Tss2_TctiLdr_Initialize(const char *conf, context **out)
{
	static context only = {
		0x4b50535441494e31u, 2, stand_in_transmit, stand_in_receive, stand_in_finalize, stand_in_cancel, no_poll_handles,
		no_locality,
	};

	(void)conf;
	pthread_mutex_lock(&lock);
	state = TRANSMIT;
	count = 0;
	trace[0] = 0;
	pthread_mutex_unlock(&lock);
	*out = &only;
	return 0;
}

void Tss2_TctiLdr_Finalize(context **c)
{
	(*c)->finalize(*c);
	*c = NULL;
}

const char *stand_in_at(void)
{
	const char *name;

	pthread_mutex_lock(&lock);
	name = at;
	pthread_mutex_unlock(&lock);
	return name;
}

void stand_in_pass(void)
{
	pthread_mutex_lock(&lock);
	may_pass = 1;
	pthread_cond_broadcast(&wake);
	pthread_mutex_unlock(&lock);
}

const char *stand_in_trace(void)
{
	pthread_mutex_lock(&lock);
	memcpy(reported, trace, sizeof trace);
	pthread_mutex_unlock(&lock);
	return reported;
}
