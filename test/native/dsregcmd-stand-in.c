/* Replaces Windows' dsregcmd.exe in the checks of test/platforms under Wine: reports a device that has not joined. */
#include <stdio.h>
#include <string.h>

int main(int argc, char **argv)
{
	if (argc != 2 || strcmp(argv[1], "/status"))
		return 1;
	puts("+----------------------------------------------------------------------+\n"
	     "| Device State                                                         |\n"
	     "+----------------------------------------------------------------------+\n"
	     "\n"
	     "             AzureAdJoined : NO\n"
	     "          EnterpriseJoined : NO\n"
	     "              DomainJoined : NO");
	return 0;
}
