"""Provisions a domain controller with the schema of 2016: samba_provision.py DIRECTORY ADDRESS, with DIRECTORY/etc/smb.conf.

Users of the directory, besides Administrator: "connector", which may write msDS-KeyCredentialLink of users and nothing
else, as the account of Entra Connect may; and "reader", an ordinary user.
"""
import logging
import sys

from samba.auth import system_session
from samba.param import LoadParm
from samba.provision import provision
from samba.samdb import SamDB
from samba.schema import Schema
from samba.sd_utils import SDUtils

directory, address = sys.argv[1:3]
PASSWORD = "P4ssw0rd.Test"
ATTRIBUTE = "5b47d60f-6090-40b2-9f37-2a4de88f3063"
CLASS_USER = "bf967aba-0de6-11d0-a285-00aa003049e2"

# Samba 4.17 has the schema of 2016 among its files, but knows only older ones by name.
Schema.base_schemas["2016"] = (
    "AD_DS_Attributes__Windows_Server_2016.ldf",
    "AD_DS_Classes__Windows_Server_2016.ldf",
    87,
)
configuration = f"{directory}/etc/smb.conf"
parameters = LoadParm()
parameters.load(configuration)
parameters.set("dsdb:schema update allowed", "yes")
provision(
    logging.getLogger("provision"),
    system_session(),
    smbconf=configuration,
    realm="CONTOSO.TEST",
    domain="CONTOSO",
    hostname="dc1",
    hostip=address,
    adminpass=PASSWORD,
    dns_backend="NONE",
    serverrole="dc",
    dom_for_fun_level=4,
    lp=parameters,
    base_schema="2016",
    skip_sysvolacl=True,
    useeadb=False,
)
database = SamDB(url=f"{directory}/private/sam.ldb", session_info=system_session(), lp=parameters)
# Without it a value that names the user itself is refused: error 65, "attribute 'msDS-KeyCredentialLink-BL' … does not
# exist in the specified objectclasses" (Samba 4.17).
database.modify_ldif(
    "dn: CN=Top,CN=Schema,CN=Configuration,DC=contoso,DC=test\n"
    "changetype: modify\nadd: mayContain\nmayContain: msDS-KeyCredentialLink-BL\n"
)
database.set_schema_update_now()

database.newuser("connector", PASSWORD)
database.newuser("reader", PASSWORD)
sid = database.search(expression="(sAMAccountName=connector)", attrs=["objectSid"])[0]["objectSid"][0]
text = database.schema_format_value("objectSid", sid).decode()
SDUtils(database).dacl_add_ace("CN=Users,DC=contoso,DC=test", f"(OA;CIIO;RPWP;{ATTRIBUTE};{CLASS_USER};{text})")
